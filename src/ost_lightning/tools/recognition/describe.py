"""`ost recognize --describe`: descriptors for class names, written by an LLM and kept in the cache."""

from collections.abc import Sequence

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.describing import describe_classes
from ost_lightning.text.generation.settings import Limits
from ost_lightning.text.generation.state import Generation
from ost_lightning.tools.generation import ask, estimate
from ost_lightning.vocabulary import counted


def describe(
    names: Sequence[str],
    model: str,
    per_class: int,
    prompts: str = "ost",
    limits: Limits = Limits(),  # frozen
) -> LabelSpace:
    """Returns a label space with descriptors, and prints how many requests it takes; see `describe_classes`.

    Args:
        names: Class names.
        model: Name of the LLM as the server knows it.
        per_class: Number of descriptors of each kind.
        prompts: Name of prompts in prompts/descriptors (ost, ranked), or a YAML file.
        limits: Concurrency, timeouts, retries and attempts.

    Raises:
        UserError: If there is no key, the server refuses, or descriptors are missing in the end.
    """
    asked = False

    def ask_and_tell(generation: Generation) -> UserError | None:
        nonlocal asked
        asked = True
        print(estimate(generation))
        return ask(generation)

    labels = describe_classes(names, model, per_class, ask_and_tell, prompts, limits)
    if not asked:
        print(f"The descriptors of {counted(len(names), 'class', 'classes')} are in {labels.origin}")
    return labels
