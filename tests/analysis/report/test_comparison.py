"""Two tests are compared video by video, or not at all."""

from pathlib import Path

import pytest

from ost_lightning.analysis.report.comparison import compare_videos, compare_with_names
from ost_lightning.analysis.report.intervals import mcnemar
from ost_lightning.analysis.report.scored_videos import ScoredVideo, read_scored_videos
from ost_lightning.evaluation import Prediction
from tests.analysis.report.runs import sure, uses, write_predictions


def read(folder: Path, *rows: Prediction) -> tuple[ScoredVideo, ...]:
    folder.mkdir()
    write_predictions(folder / "predictions.csv", rows)
    return read_scored_videos(folder)["own"]


def test_classes_are_sorted_by_what_they_gain(tmp_path: Path) -> None:
    first = read(tmp_path / "1", *(sure(f"{k}", "ab"[k % 2], "a") for k in range(8)))
    second = read(tmp_path / "2", *(sure(f"{k}", "ab"[k % 2], "b") for k in reversed(range(8))))
    found = compare_videos(second, first, "first")
    assert found is not None
    assert [(one.name, one.videos, one.recall, one.other, one.difference) for one in found.classes] == [
        ("b", 4, 1.0, 0.0, 1.0),
        ("a", 4, 0.0, 1.0, -1.0),
    ]
    assert [one.p for one in found.classes] == pytest.approx([2 * mcnemar(4, 0)] * 2)
    assert found.difference is not None
    assert (found.difference.value, found.p) == (0.0, 1.0)
    assert found.difference.low < 0 < found.difference.high


def test_other_videos_and_other_labels_are_not_compared(tmp_path: Path) -> None:
    first = read(tmp_path / "1", sure("1", "a", "a"), sure("2", "a", "a"))
    assert compare_videos(first, first[:1], "first") is None
    assert compare_videos(first, read(tmp_path / "2", sure("1", "a", "a"), sure("3", "a", "a")), "first") is None
    assert compare_videos(first, read(tmp_path / "3", sure("1", "a", "a"), sure("2", "b", "a")), "first") is None


def test_parts_of_one_video_have_no_exact_test(tmp_path: Path) -> None:
    parts = [sure(f"x@{k}", "a", "a", start=float(k), path="/x.mp4") for k in range(4)]
    first = read(tmp_path / "1", *parts)
    second = read(tmp_path / "2", *(part._replace(classes=("b",)) for part in parts))
    found = compare_videos(first, second, "second")
    assert found is not None
    assert found.p is None
    assert found.classes[0].p is None
    assert found.difference is not None
    assert found.difference.value == 1.0


def test_category_names_are_compared_by_the_counts_of_a_test() -> None:
    found = compare_with_names(uses(("a", 10, 0.9, 0.5, 1), ("b", 10, 0.2, 0.4, 2)))
    assert (found.against, found.readable) == ("category names", True)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.1)
    assert found.p == pytest.approx(mcnemar(5, 3))
    assert [one.p for one in found.classes] == pytest.approx([2 * mcnemar(5, 1), mcnemar(0, 2)])


def test_counts_of_earlier_versions_give_no_test() -> None:
    entries = uses(("a", 10, 0.9, 0.5, 1))
    del entries[0]["lost"]
    found = compare_with_names(entries)
    assert (found.difference, found.p, found.classes[0].p) == (None, None, None)
    assert found.classes[0].difference == pytest.approx(0.4)
