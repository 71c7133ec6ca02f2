"""Class names as people type or paste them."""

import re
from dataclasses import dataclass
from typing import Final

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.vocabulary import counted

MAX_CLASSES: Final = 1000
MAX_LENGTH: Final = 200
"""Largest number of characters of a class name or sentence."""
_SEPARATORS: Final = re.compile(r"[,;\t，、；]")  # noqa: RUF001  # the wide forms are those of Chinese and Japanese


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Class names, each once.

    Attributes:
        names: Names in the order in which they were written.
        repeated: Number of names that were left out, because they are there already.
    """

    names: tuple[str, ...]
    repeated: int

    def __str__(self) -> str:
        left_out = f", {counted(self.repeated, 'duplicate')} left out" if self.repeated else ""
        return f"{counted(len(self.names), 'class', 'classes')}{left_out}"


def read_class_names(text: str, known: LabelSpace | None = None) -> ClassNames:
    r"""Reads class names that are separated by lines, commas or semicolons.

    Upper and lower case and extra spaces make no other class, because encoders don't tell them apart.

    Args:
        text: Text that was typed or pasted.
        known: Label space whose names stay whole, even those with commas.

    Raises:
        UserError: If there are no classes, too many, or one that is too long.

    Examples:
        >>> read_class_names("archery, surfing\nArchery")
        ClassNames(names=('archery', 'surfing'), repeated=1)
    """
    whole = frozenset() if known is None else frozenset(known.names)
    names: dict[str, str] = {}
    written = 0
    for line in text.splitlines():
        one = " ".join(line.split())
        for part in [one] if one in whole else _SEPARATORS.split(line):
            name = " ".join(part.split())
            if not name:
                continue
            if len(name) > MAX_LENGTH:
                raise UserError(
                    f"The class name {escaped(name[:40])!r}... has {len(name):,} characters: expected at most "
                    f"{MAX_LENGTH}. Separate classes by commas or lines."
                )
            written += 1
            names.setdefault(name.casefold(), name)
    if not names:
        raise UserError("There are no classes yet: type some, separated by commas or lines, or choose a label space.")
    if len(names) > MAX_CLASSES:
        raise UserError(f"There are {len(names):,} classes: expected at most {MAX_CLASSES:,}.")
    return ClassNames(tuple(names.values()), written - len(names))


def with_descriptors(names: tuple[str, ...], known: LabelSpace | None) -> LabelSpace:
    """Returns classes with their descriptors, if all of them have some, because matchers need them of all or of none.

    Args:
        names: Class names.
        known: Label space with descriptors of these and other classes; None for no descriptors.
    """
    if known is None or not all(name in known.descriptors for name in names):
        return LabelSpace(names, source="typed in the app", origin="of the app")
    if set(names) <= set(known.names):
        return known.select(names)  # keeps the publisher's spelling
    chosen = {name: known.descriptors[name] for name in names}
    return LabelSpace(names, chosen, known.source, known.provenance, known.origin)
