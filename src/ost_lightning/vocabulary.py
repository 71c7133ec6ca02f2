"""Terms that are used in all packages, each defined once."""

from typing import Final, Literal

DescriptorKind = Literal["spatio", "temporal"]
"""Kind of descriptor: what is visible at any time (Spatio), or the steps of an action (Temporal)."""
DESCRIPTOR_KINDS: Final[tuple[DescriptorKind, ...]] = ("spatio", "temporal")

SentenceKind = Literal["name", "spatio", "temporal"]
"""Source of a sentence: the category name, a Spatio Descriptor or a Temporal Descriptor."""
SENTENCE_KINDS: Final[tuple[SentenceKind, ...]] = ("name", "spatio", "temporal")

Part = Literal["train", "val", "test"]
"""Part of a data set."""

EvaluationStage = Literal["val", "test", "predict"]
"""Stage for which an evaluation set is loaded."""

AS_TRAINED: Final = "as trained"
"""Name of the task's current weights, as opposed to mixtures, in results and among scorers."""

PRETRAINED: Final = "pretrained"
"""Name of the task's current weights in results if they are the original ones, which nothing was trained from."""


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Returns a number with its noun: `1 video`, `1,234 videos`.

    Args:
        number: Number of things.
        singular: Noun for one.
        plural: Noun for any other number; the singular with an `s` if not given.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
