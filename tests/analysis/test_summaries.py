import pytest

from ost_lightning.analysis.summaries import summarize
from tests.analysis.example_runs import outcome, three_splits


def test_mean_and_spread_over_splits() -> None:
    (summary,) = summarize(three_splits())
    assert (summary.what, summary.top1) == ("hmdb51, mean of 3 splits", pytest.approx(0.6))
    assert summary.top1_std == pytest.approx(0.1)
    assert summarize({"one": outcome("hmdb51-split1")}) == []


def test_harmonic_mean() -> None:
    (summary,) = summarize({"a": outcome("ucf101-base", 0.9), "b": outcome("ucf101-novel", 0.6)})
    assert summary.top1 == pytest.approx(2 * 0.9 * 0.6 / 1.5)
    assert (summary.what, summary.top1_std) == ("ucf101, harmonic mean of base and novel", None)
