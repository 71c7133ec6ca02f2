"""Class names that are the same text for a tokenizer."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from ost_lightning.characters import escaped

_SHOWN = 3


def alike_names(names: Sequence[str], read: Callable[[Sequence[str]], Sequence[Hashable]]) -> list[tuple[str, ...]]:
    """Returns groups of names that a text tower can't tell apart.

    Tokenizers ignore case, the form of accents (Unicode NFC or NFD) and extra spaces; SigLIP's ignores punctuation too.

    Args:
        names: Distinct names.
        read: Function that returns for each text what the tower reads, such as a tuple of its token ids.

    Returns:
        Groups of at least two names, in the order of their first ones. A name of which nothing is read forms a group
        with the empty name, which comes first.
    """
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for name, tokens in zip(("", *names), read(("", *names)), strict=True):
        groups[tokens].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def describe_alike(groups: Sequence[Sequence[str]], label_space: str, tokenizer: str) -> str:
    """Returns a sentence about groups of names from `alike_names`; empty if there are none.

    Args:
        groups: Groups of names.
        label_space: Name of the label space.
        tokenizer: Name of the tokenizer.
    """
    if not groups:
        return ""
    shown = "; ".join(map(_group, groups[:_SHOWN]))
    more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return (
        f"The label space {label_space} has class names that are the same text for the {tokenizer}: {shown}{more}. "
        "Sentences with only the name can't tell them apart. Rename them in classes.txt."
    )


def _group(names: Sequence[str]) -> str:
    """A group in words; of hundreds, such as numbered names, the first ones."""
    more = f" = {len(names) - _SHOWN} more" if len(names) > _SHOWN + 1 else ""
    return escaped(" = ".join(f"'{name}'" for name in (names[:_SHOWN] if more else names))) + more
