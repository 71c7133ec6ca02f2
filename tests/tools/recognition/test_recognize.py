"""`ost recognize` on real videos with the tiny CLIP."""

import csv
import sys
from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.cli import main
from tests.videos import write_video


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    for number in range(3):
        write_video(tmp_path / f"clips/{number}.mp4", count=8 + number)
    return tmp_path / "clips"


def test_a_folder_is_recognized_as_in_python(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clips / "broken.mp4").write_bytes(b"not a video")
    options = ["--weights=tiny", "--classes=archery, riding a horse", "--output=out.csv", "--top=2"]
    assert main(["recognize", "clips", *options]) == 1
    printed = capsys.readouterr()
    assert "compared with the class names alone" in printed.out
    assert "broken.mp4: not a readable video file" in printed.out
    assert "could not be read: 1" in printed.err
    recognizer = Recognizer.load("tiny", labels=["archery", "riding a horse"], device="cpu")
    with Path("out.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["video"] for row in rows] == [f"clips/{name}.mp4" for name in ("0", "1", "2", "broken")]
    for row in rows[:3]:
        found = recognizer(row["video"])
        assert f"{row['video']}: {found.label}" in printed.out
        assert (row["class_1"], row["probability_1"]) == (found.label, f"{found.probability:.4f}")
        assert row["digest"] == recognizer.conditions()["digest"]


def test_conditions_depend_on_what_scores_depend_on() -> None:
    labels = ["archery", "surfing"]
    digests = {Recognizer.load("tiny", labels=names).conditions()["digest"] for names in (labels, labels, labels[:1])}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clips"], "either --labels"),
        (["clips", "--classes=a", "--labels=hmdb51"], "either --labels"),
        (["clips", "--classes=a,,b"], "empty name"),
        (["clips", "--classes=a", "--top=0"], "at least 1"),
        (["clips", "--classes=a", "--output=x.xlsx"], "unknown suffix"),
        (["nothing*.mp4", "--classes=a"], "No video matches"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(
    clips: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recognize", *arguments, "--weights=does/not/exist"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
