"""A test tells which classes are recognized, and writes what it recognized in every video."""

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.callbacks import ClassificationReport
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from tests.small_experiments import metrics, own_videos


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_test_of_own_videos_reports_classes_confusion_and_every_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    options = own_videos(Path("videos"))
    Path("videos/broken.mp4").write_bytes(b"x")
    Path("videos/test.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\nbroken.mp4 1\n3.mp4 1\n")
    with pytest.warns(UserWarning, match="broken"):
        assert main(["test", *options, "--data.loading.on_decode_error=count"]) == 0
    run = Path("runs/own_videos/version_0")
    predicted = rows(run / "predictions.csv")
    assert [row["video"] for row in predicted] == ["0.mp4", "1.mp4", "2.mp4", "broken.mp4", "3.mp4"]
    assert "not a readable video" in predicted[3]["error"]
    right = [row for row in predicted if row["class_1"] == row["label"]]
    top1 = float(metrics(run)[-1]["test/own/top1"])
    assert len(right) / 5 == pytest.approx(top1)
    classes = {row["class"]: row for row in rows(run / "own_classes.csv")}
    assert [int(row["videos"]) for row in classes.values()] == [2, 3]
    for name, row in classes.items():
        assert float(row["recall"]) * int(row["videos"]) == pytest.approx(
            sum(video["label"] == name for video in right), abs=1e-3
        )
    printed = capsys.readouterr().out
    assert f"own: Top-1 {100 * top1:.1f} % of 5 videos, 2 classes" in printed
    assert all(name in printed for name in classes)
    assert Image.open(run / "own_confusion.png").width > 100


def test_a_report_shows_at_least_one_class() -> None:
    with pytest.raises(UserError, match=r"ClassificationReport\.classes is 0"):
        ClassificationReport(classes=0)
