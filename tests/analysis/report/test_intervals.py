"""Intervals and tests, compared with closed forms and SciPy."""

import numpy as np
import pytest

from ost_lightning.analysis.report.intervals import bootstrap, holm, mcnemar

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("right", "videos"), [(5, 10), (100, 200), (19_000, 20_000)])
def test_an_interval_of_single_videos_is_binomial(right: int, videos: int) -> None:
    found = bootstrap([1] * right + [0] * (videos - right), [1] * videos)
    assert found.value == right / videos
    expected = stats.binom.ppf([0.025, 0.975], videos, right / videos) / videos
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.02 * (1 / videos**0.5) + 1e-9)


def test_parts_of_one_video_are_resampled_together() -> None:
    apart = bootstrap([1] * 50 + [0] * 50, [1] * 100)
    together = bootstrap([10] * 5 + [0] * 5, [10] * 10)
    assert together.value == apart.value == 0.5
    assert together.high - together.low == pytest.approx((apart.high - apart.low) * 10**0.5, rel=0.1)


def test_a_difference_has_an_interval_of_paired_videos() -> None:
    won, lost, same = 30, 10, 160
    found = bootstrap([1] * won + [-1] * lost + [0] * same, [1] * 200)
    assert found.value == pytest.approx(0.1)
    error = ((won + lost) / 200 - 0.1**2) ** 0.5 / 200**0.5
    assert found.low == pytest.approx(0.1 - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(0.1 + 1.96 * error, abs=0.01)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [1, 0, 1, 1, 0]
    assert bootstrap(values, [1] * 5) == bootstrap(values, [1] * 5)
    with pytest.raises(ValueError, match="no videos"):
        bootstrap([], [])


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (9, 2), (7, 7), (300, 240), (4000, 4300)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-6)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
