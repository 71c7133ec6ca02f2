"""What the classes of a test are recognized as."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ost_lightning.analysis.report.scored_videos import ScoredVideo

MOST_CLASSES: Final = 40
"""Largest number of classes in a confusion matrix that can still be read."""
_PAIRS: Final = 15


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Videos of one class that are recognized as another one.

    Attributes:
        label: Labeled class.
        recognized: Class that they are recognized as.
        videos: Number of these videos.
        share: Share of the labeled class's videos, 0 to 1.
    """

    label: str
    recognized: str
    videos: int
    share: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion of a test.

    Attributes:
        pairs: The most frequent mistakes, by number of videos.
        names: Names of the classes in the matrix, in alphabetical order; empty if there are too many.
        matrix: Number of videos of each class (row) that are recognized as each class (column).
        unreadable: Number of unreadable videos, which are in no column.
    """

    pairs: tuple[ConfusedPair, ...]
    names: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    unreadable: int


def confusion(videos: Sequence[ScoredVideo]) -> Confusion:
    """Returns what each class is recognized as."""
    counts = Counter((video.label, video.recognized) for video in videos if not video.error)
    per_class = Counter(video.label for video in videos)
    wrong = [(label, recognized, count) for (label, recognized), count in counts.items() if label != recognized]
    wrong.sort(key=lambda entry: (-entry[2], entry[0], entry[1]))
    names = sorted({name for pair in counts for name in pair})
    if len(names) > MOST_CLASSES:
        names = []
    return Confusion(
        tuple(ConfusedPair(*entry, entry[2] / per_class[entry[0]]) for entry in wrong[:_PAIRS]),
        tuple(names),
        tuple(tuple(counts[label, recognized] for recognized in names) for label in names),
        sum(1 for video in videos if video.error),
    )
