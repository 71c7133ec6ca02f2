"""Predictions are read as they were written, and damage is named with its line."""

import os
from pathlib import Path

import pytest

from ost_lightning.analysis.report.scored_videos import hits_by_video, read_scored_videos
from ost_lightning.errors import UserError
from tests.analysis.report.runs import row, sure, write_predictions


def test_what_was_written_is_read(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.mp4")
    write_predictions(
        tmp_path / "predictions.csv",
        [
            row("=1.mp4", "-a", ("b", 0.75), ("-a", 0.25), path=f"/videos/{odd}"),
            row(odd, "b", start=1.5, end=2.0, error="not a video"),
            sure("x", "", "b"),  # without a label
        ],
    )
    first, second = read_scored_videos(tmp_path)["own"]
    assert (first.id, first.label, first.recognized, first.probability) == ("=1.mp4", "-a", "b", 0.75)
    assert (first.label_probability, first.path, first.right) == (0.25, f"/videos/{odd}", False)
    assert (second.id, second.start, second.end, second.error) == (odd, 1.5, 2.0, "not a video")
    assert (second.recognized, second.right, second.label_probability) == ("", False, None)


def test_files_of_several_processes_are_one_test(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions-0.csv", [sure("1", "a", "a"), sure("1", "a", "b")])
    write_predictions(tmp_path / "predictions-1.csv", [sure("1", "a", "b"), sure("1", "a", "a", name="other")])
    found = read_scored_videos(tmp_path)
    assert [video.occurrence for video in found["own"]] == [0, 1, 2]
    assert [video.occurrence for video in found["other"]] == [0]
    assert [count.tolist() for count in hits_by_video(found["own"])] == [[1], [3]]


def test_files_of_earlier_versions_have_no_paths(tmp_path: Path) -> None:
    columns = "video,set,start,end,label,error,class_1,probability_1"
    (tmp_path / "predictions.csv").write_text(f"{columns}\n1.mp4,own,,,a,,a,0.5\n")
    (video,) = read_scored_videos(tmp_path)["own"]
    assert (video.path, video.label_probability, video.video) == ("", None, "1.mp4")


@pytest.mark.parametrize(
    ("text", "message"),
    [("video,set\n1,own\n", "no column class_1, end, error"), ("HEADER\n1,own,,,a,,a,high\n", r"predictions\.csv:2:")],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    header = "video,set,start,end,label,error,class_1,probability_1"
    (tmp_path / "predictions.csv").write_text(text.replace("HEADER", header))
    with pytest.raises(UserError, match=message):
        read_scored_videos(tmp_path)
