"""Settings of a search."""

from dataclasses import dataclass
from typing import Final

from ost_lightning.errors import UserError

CANDIDATES: Final = 10_000
"""Segments that a coarse stage leaves for the matcher."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How segments are searched, and how many are found.

    Attributes:
        n: Number of segments to find.
        coarse: Whether only candidates are scored: the segments whose mean frame is closest to the mean sentence.
        candidates: Number of candidates.
        per_video: Whether each video is found once, with its best segment.

    Raises:
        UserError: If a number is out of range.
    """

    n: int = 20
    coarse: bool = False
    candidates: int = CANDIDATES
    per_video: bool = False

    def __post_init__(self) -> None:
        for name in ("n", "candidates"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: expected at least 1.")
