"""`ost recognize` on real videos with the tiny CLIP."""

import csv
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.models.encoders import cpu_precision
from tests.videos import write_video


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    for number in range(3):
        write_video(tmp_path / f"clips/{number}.mp4", count=8 + number)
    return tmp_path / "clips"


@pytest.mark.parametrize("command", ["recognize", "timeline"])
def test_videos_that_do_not_exist_are_told_before_a_model_is_loaded(
    command: str, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "clip.mp4", "--weights=nobody/nothing", "--classes=archery, surfing"]) == 1
    assert "There is no file or folder clip.mp4" in capsys.readouterr().err


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
        assert f"{row['video']}\n  {found.label}" in printed.out
        assert found.label in row["sentence"]
        assert row["sentence"] in printed.out
        assert 0 <= float(row["second"]) < 0.4
        assert (row["class_1"], row["probability_1"]) == (found.label, f"{found.probability:.4f}")
        assert row["digest"] == recognizer.conditions()["digest"]


def test_fp8_is_in_the_results(clips: Path) -> None:
    options = ["--weights=tiny", "--classes=archery, surfing", "--output=out.csv", "--device=cpu", "--fp8"]
    assert main(["recognize", "clips/0.mp4", *options]) == 0
    with Path("out.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["precision"] == "fp8 in the vision tower"
    found = Recognizer.load("tiny", ["archery", "surfing"], "cpu", fp8=True)(clips / "0.mp4")
    assert row["probability_1"] == f"{found.probability:.4f}"


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
        (["clips", "--classes=a", "--alpha=1"], "between 0 and 1"),
        (["clips", "--classes=a", "--calibration=clips/0.mp4"], "is not a calibration"),
        (["nothing*.mp4", "--classes=a"], "No video matches"),
        (["987", "--classes=a"], "There is no camera"),
        (["rtsp://me:secret@host/a", "clips", "--classes=a"], "watched at a time"),
        (["nothing.mp4", "--classes=a", "--live"], "there is no such file"),
        (["clips/0.mp4", "--classes=a", "--live", "--output=x.json"], "written as a stream runs"),
        (["clips/0.mp4", "--classes=a", "--live", "--window=0"], "window is 0"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(
    clips: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recognize", *arguments, "--weights=does/not/exist"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_inputs_that_are_hard(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(clips / "one_frame.mp4", count=1)
    with av.open(str(clips / "sound.mp4"), "w") as sound:
        stream = sound.add_stream("aac", rate=44100)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        samples.rate, samples.pts = 44100, 0
        sound.mux(stream.encode(samples))
        sound.mux(stream.encode(None))
    assert main(["recognize", "clips", "--weights=tiny", "--classes=archery"]) == 1
    printed = capsys.readouterr().out
    assert "only one class, so its probability is always 100 %" in printed
    assert "one_frame.mp4\n  archery  100.0 %" in printed
    assert "sound.mp4: the file has no video stream" in printed
    assert main(["recognize", "clips", "--weights=tiny", "--classes=archery, archery"]) == 1
    assert "names 'archery' twice" in capsys.readouterr().err


def test_a_saved_calibration_gives_label_sets(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recognizer = Recognizer.load("tiny", labels=["archery", "surfing"], device="cpu")
    videos = [clips / f"{number}.mp4" for number in range(3)]
    labeled = [(video, recognizer(video).label) for video in videos]
    recognizer.calibrate(labeled, none=videos[:1]).save(Path("c.json"))
    options = ["--weights=tiny", "--classes=archery, surfing", "--calibration=c.json", "--alpha=0.3", "--batch_size=1"]
    assert main(["recognize", "clips", *options, "--output=out.jsonl"]) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for video, row in zip(videos, rows, strict=True):
        found = recognizer(video)
        assert row["label_set"] == list(found.label_set(0.3))
        assert row["background_p_value"] == found.background_p_value
        assert f"label set (70 %): {', '.join(found.label_set(0.3))}" in printed
    assert {row["alpha"] for row in rows} == {"0.3"}
    assert "p-value of none of these: 1.000" in printed
    assert main(["recognize", "clips", "--weights=tiny", "--classes=archery", "--calibration=c.json"]) == 1
    assert "other weights, classes, descriptors or settings" in " ".join(capsys.readouterr().err.split())


def test_bf16_on_a_cpu_is_in_the_results(
    clips: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_precision, "bf16_speed", lambda threads: 1.75)
    options = ["--weights=tiny", "--classes=archery, surfing", "--output=out.csv", "--device=cpu"]
    assert main(["recognize", "clips/0.mp4", *options, "--cpu_precision=auto"]) == 0
    assert "Frames are embedded in bf16, because this CPU multiplies matrices 1.8 x as fast" in capsys.readouterr().out
    with Path("out.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["precision"] == "bf16 on a CPU"
    found = Recognizer.load("tiny", ["archery", "surfing"], "cpu", cpu_precision="bf16")(clips / "0.mp4")
    assert row["probability_1"] == f"{found.probability:.4f}"
