"""Words that are used on every floor, each defined once."""

from typing import Final, Literal

DescriptorKind = Literal["spatio", "temporal"]
"""Kind of descriptor: what is seen at any time (Spatio), or the steps of an action (Temporal)."""
DESCRIPTOR_KINDS: Final[tuple[DescriptorKind, ...]] = ("spatio", "temporal")

SentenceKind = Literal["name", "spatio", "temporal"]
"""What a sentence is about: the category name, a Spatio Descriptor or a Temporal Descriptor."""
SENTENCE_KINDS: Final[tuple[SentenceKind, ...]] = ("name", "spatio", "temporal")

Part = Literal["train", "val", "test"]
"""Part of a data set."""

EvaluationStage = Literal["val", "test", "predict"]
"""What an evaluation set is loaded for."""

AS_TRAINED: Final = "as trained"
"""Name of a task's own weights, beside the names of mixtures, in results and in the code that scores."""
