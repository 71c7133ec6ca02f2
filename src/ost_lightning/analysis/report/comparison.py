"""Comparison of two recognizers on the same videos, class by class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ost_lightning.analysis.report.intervals import Estimate, bootstrap, holm, mcnemar
from ost_lightning.analysis.report.scored_videos import ScoredVideo


@dataclass(frozen=True, slots=True)
class ComparedClass:
    """Recall of one class by two recognizers.

    Attributes:
        name: Name of the class.
        videos: Number of its videos.
        recall: Share that is recognized, 0 to 1.
        other: Share that the other recognizer recognizes, 0 to 1.
        p: p-value of the difference, adjusted for the number of classes (McNemar's exact test, Holm); None if it can't
            be computed.
    """

    name: str
    videos: int
    recall: float
    other: float
    p: float | None

    @property
    def difference(self) -> float:
        """Gain over the other recognizer, -1 to 1."""
        return self.recall - self.other


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of two recognizers on one evaluation set.

    Attributes:
        against: Name of the other recognizer.
        difference: Top-1 accuracy minus the other's, -1 to 1; None if the videos' results can't be paired.
        p: p-value of the difference (McNemar's exact test); None if rows belong to the same video, or can't be paired.
        classes: Classes that have videos, those that gain most first.
        readable: Whether unreadable videos are left out, instead of counting as wrong.
    """

    against: str
    difference: Estimate | None
    p: float | None
    classes: tuple[ComparedClass, ...]
    readable: bool = False


def compare_videos(videos: Sequence[ScoredVideo], others: Sequence[ScoredVideo], against: str) -> Comparison | None:
    """Compares two tests video by video.

    Args:
        videos: Videos of one test.
        others: Videos of the test to compare with.
        against: Name of the test to compare with.

    Returns:
        The comparison; None if the tests are not about the same videos.
    """
    first, second = ({video.key: video for video in table} for table in (videos, others))
    if first.keys() != second.keys() or any(first[key].label != second[key].label for key in first):
        return None
    leads: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    classes: dict[str, list[int]] = {}
    for key, video in first.items():
        other = second[key]
        leads[video.video] += video.right - other.right
        rows[video.video] += 1
        counts = classes.setdefault(video.label, [0, 0, 0, 0])
        for place, counted in enumerate((1, video.right, other.right, other.right and not video.right)):
            counts[place] += counted
    names = list(rows)
    difference = bootstrap([leads[name] for name in names], [rows[name] for name in names])
    independent = len(names) == len(first)
    return _comparison(against, classes, difference, independent=independent)


def compare_with_names(uses: Iterable[Mapping[str, Any]]) -> Comparison:
    """Compares recognition by descriptors with recognition by category names, from `descriptor_usage.json`.

    Args:
        uses: Classes of one evaluation set.
    """
    classes = {}
    leads: list[int] = []
    paired = True
    for use in uses:
        count = use["videos"]
        right, by_name = round(count * use["top1"]), round(count * use["name_top1"])
        lost = use.get("lost")  # files of earlier versions lack it
        paired = paired and lost is not None
        classes[use["name"]] = [count, right, by_name, lost or 0]
        won = right - by_name + (lost or 0)
        leads += [1] * won + [-1] * (lost or 0) + [0] * (count - won - (lost or 0))
    difference = bootstrap(leads, np.ones(len(leads), np.int64)) if paired and leads else None
    found = _comparison("category names", classes, difference, independent=difference is not None)
    return replace(found, readable=True)


def _comparison(
    against: str, classes: Mapping[str, Sequence[int]], difference: Estimate | None, *, independent: bool
) -> Comparison:
    """Returns the comparison from the numbers of videos, recognized ones, the other's, and those of the other alone."""
    lost = [counts[3] for counts in classes.values()]
    won = [counts[1] - counts[2] + counts[3] for counts in classes.values()]
    p_values = holm([mcnemar(*pair) for pair in zip(won, lost, strict=True)]) if independent else [None] * len(classes)
    compared = [
        ComparedClass(name, count, right / count, other / count, p)
        for (name, (count, right, other, _)), p in zip(classes.items(), p_values, strict=True)
    ]
    compared.sort(key=lambda one: (-one.difference, one.name))
    return Comparison(against, difference, mcnemar(sum(won), sum(lost)) if independent else None, tuple(compared))
