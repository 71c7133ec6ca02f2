"""What to look for in a library: a class, a name with descriptors, or sentences by hand."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Self

from ost_lightning.characters import escaped, shortened
from ost_lightning.errors import UserError
from ost_lightning.files import is_utf8
from ost_lightning.text import LabelSpace

ORDER_SIGMA: Final = 0.3
"""Width of the order prior for steps that are joined by `then`; that of stretches in timelines."""
_THEN: Final = re.compile(r"\s*,?\s*\bthen\b\s*,?\s*|\s*(?:->|→|⇒)\s*", re.IGNORECASE)
_NEXT: Final = re.compile(r"\s*[;；]\s*")  # noqa: RUF001  # the wide form is that of Chinese and Japanese
_CLOSE: Final = 3
_CUTOFF: Final = 0.4


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, in words.

    Attributes:
        name: Name of an action; may be empty if there are descriptors.
        spatio: Sentences about what is visible at any time.
        temporal: Sentences about what happens: the steps of the action.
        order_sigma: Width of the preference for steps in their order, as a fraction of the segment; None for no
            preference beyond what the matcher was trained with. See `OrderContrast`.

    Raises:
        UserError: If it is empty or no text, or the width is out of range.
    """

    name: str = ""
    spatio: tuple[str, ...] = ()
    temporal: tuple[str, ...] = ()
    order_sigma: float | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() and not self.spatio and not self.temporal:
            raise UserError("The query is empty: name an action, such as 'archery', or describe it in sentences.")
        for text in (self.name, *self.spatio, *self.temporal):
            if not is_utf8(text):
                raise UserError(f"The query '{escaped(text)}' is not UTF-8 text: write it in UTF-8.")
        if self.order_sigma is not None and not (self.order_sigma > 0 and isfinite(self.order_sigma)):
            raise UserError(f"order_sigma is {self.order_sigma}: expected a positive number, such as {ORDER_SIGMA}.")

    @classmethod
    def by_hand(
        cls, name: str = "", spatio: str | None = None, temporal: str | None = None, order_sigma: float | None = None
    ) -> Self:
        """Returns the query for sentences that a person wrote.

        Args:
            name: Name of the action; may be empty.
            spatio: Sentences about what is visible, separated by `;`.
            temporal: Sentences about what happens, separated by `;`, or by `then` or `->` if their order matters.
            order_sigma: Width of the preference for steps in their order; if None, `ORDER_SIGMA` if the order matters.

        Raises:
            UserError: If a sentence is empty, or there is nothing to look for.

        Examples:
            >>> Query.by_hand(temporal="pours, then stirs")
            Query(name='', spatio=(), temporal=('pours', 'stirs'), order_sigma=0.3)
        """
        ordered = temporal is not None and _THEN.search(temporal) is not None
        steps = () if temporal is None else _sentences(_THEN.sub(";", temporal), "temporal")
        if order_sigma is None and ordered:
            order_sigma = ORDER_SIGMA
        return cls(name.strip(), () if spatio is None else _sentences(spatio, "spatio"), steps, order_sigma)

    @property
    def described(self) -> bool:
        """Whether there are descriptors."""
        return bool(self.spatio or self.temporal)

    def __str__(self) -> str:
        steps = (", then " if self.order_sigma else "; ").join(self.temporal)
        text = self.name or "; ".join(filter(None, ["; ".join(self.spatio), steps]))
        return shortened(text)


def class_of(labels: LabelSpace, name: str) -> str:
    """Returns the name of a class as its label space spells it; upper and lower case don't matter.

    Raises:
        UserError: If there is no such class; it names the closest ones.
    """
    wanted = " ".join(name.split()).casefold()
    by_case = {known.casefold(): known for known in labels.names}
    if name in labels.names:
        return name
    if wanted in by_case:
        return by_case[wanted]
    close = [by_case[one] for one in difflib.get_close_matches(wanted[:200], by_case, _CLOSE, _CUTOFF)]
    nearest = f" The nearest names are {', '.join(escaped(repr(one)) for one in close)}." if close else ""
    raise UserError(
        f"The label space {labels.origin} has no class {escaped(repr(shortened(name)))}.{nearest} To look for "
        "something else, leave out the label space."
    )


def _sentences(text: str, kind: str) -> tuple[str, ...]:
    found: Sequence[str] = _NEXT.split(text.strip().rstrip(";；").strip())  # noqa: RUF001
    if not all(found):
        raise UserError(f"The {kind} description {shortened(text)!r} has an empty sentence: write one between all `;`.")
    return tuple(found)
