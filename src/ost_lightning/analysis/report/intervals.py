"""Confidence intervals by the bootstrap, and tests of paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 10_000
"""Number of bootstrap samples."""
LEVEL: Final = 0.95
"""Confidence level of all intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its percentile bootstrap interval.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def bootstrap(totals: Sequence[int] | NDArray[Any], sizes: Sequence[int] | NDArray[Any], seed: int = 0) -> Estimate:
    """Returns the sum of totals over the sum of sizes, with an interval from resampling the videos.

    Videos with the same total and size are exchangeable, so a resample is one multinomial draw of how many videos of
    each kind it has.

    Args:
        totals: Number of recognized rows of each video, or a difference of two such numbers.
        sizes: Number of rows of each video, at least 1: 1, unless parts of a video are rows of their own.
        seed: Seed of the resampling.

    Raises:
        ValueError: If there are no videos.
    """
    kinds, counts = np.unique(np.stack([np.asarray(totals), np.asarray(sizes)]), axis=1, return_counts=True)
    videos = int(counts.sum())
    if not videos:
        raise ValueError("no videos to resample")
    drawn = np.random.default_rng(seed).multinomial(videos, counts / videos, size=DRAWS)
    shares = (drawn @ kinds[0]) / (drawn @ kinds[1])
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float((counts * kinds[0]).sum() / (counts * kinds[1]).sum())
    return Estimate(value, float(low), float(high))


def mcnemar(first_only: int, second_only: int) -> float:
    """Returns the p-value of McNemar's exact test, two-sided, that two recognizers are equally often right.

    Args:
        first_only: Number of videos that only the first one recognizes.
        second_only: Number of videos that only the second one recognizes.
    """
    count, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(
        exp(lgamma(count + 1) - lgamma(k + 1) - lgamma(count - k + 1) - count * log(2)) for k in range(fewer + 1)
    )
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for testing all of them (Holm 1979), in the same order."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        least = max(least, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, least)
    return adjusted
