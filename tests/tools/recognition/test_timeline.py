"""`ost timeline` on real videos with the tiny CLIP."""

import sys
from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.recognition.timelines import StretchDecoder, StretchSettings, load_timeline, load_timelines
from tests.videos import write_video

OPTIONS = ["--weights=tiny", "--classes=archery, riding a horse", "--device=cpu"]


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    for number in range(2):
        write_video(tmp_path / f"videos/{number}.mp4", count=150, seed=number)
    return tmp_path / "videos"


def test_timelines_are_those_of_python(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "broken.mp4").write_bytes(b"not a video")
    options = [*OPTIONS, "--output=found.json", "--lengths=1, 2", "--level=0.1", "--rate=5", "--stride=0.4"]
    assert main(["timeline", "videos", *options]) == 1
    printed = capsys.readouterr()
    assert "broken.mp4: not a readable video file" in printed.out
    assert "could not be read: 1" in printed.err
    assert "own scores" not in printed.out
    recognizer = Recognizer.load("tiny", ["archery", "riding a horse"], "cpu")
    stretches = StretchSettings(lengths=(1, 2), stride=0.4)
    found = load_timelines("found.json")
    assert [timeline.video for timeline in found] == ["videos/0.mp4", "videos/1.mp4"]
    for timeline in found:
        expected = recognizer.timeline(timeline.video, StretchDecoder(0.1), stretches=stretches, rate=5)
        assert str(expected) in printed.out
        assert timeline.conditions == expected.conditions
        assert [segment.label for segment in timeline.segments] == [segment.label for segment in expected.segments]


def test_the_level_is_measured_with_background(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*OPTIONS, "--background=videos/1.mp4", "--background_share=0.2", "--decoder=viterbi", "--output=out"]
    assert main(["timeline", "videos/0.mp4", *options]) == 0
    printed = capsys.readouterr().out
    assert "20 % of 1 background video (6 s) is above it" in printed
    conditions = load_timeline("out/0.json").conditions
    assert f"Level {conditions['decoder.level']:.3f}" in printed
    assert conditions["decoder"] == "ViterbiDecoder"
    assert "decoder.quantile" not in conditions


def test_every_video_has_its_file_in_a_folder(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timeline", "videos", *OPTIONS, "--output=out", "--format=webvtt"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["0.vtt", "1.vtt"]
    assert "The level is a quantile of each video's own scores" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels=hmdb51"], "either --labels"),
        (["--level=0.1", "--background=videos"], "either --level or --background"),
        (["--format=html"], "name a file or folder"),
        (["--output=x.xlsx"], "unknown suffix"),
        (["--output=x.srt"], "about one video, but there are 2"),
        (["--lengths=2, long"], "not a list of numbers such as 2, 4, 8"),
        (["--lengths=2,-1"], "expected positive numbers of seconds"),
        (["--stride=0"], "stride is 0.0: expected a positive number"),
        (["--background=nothing*.mp4"], "No video matches"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(
    videos: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["timeline", "videos", "--classes=a", "--weights=does/not/exist", *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_videos_of_one_name_do_not_overwrite_one_another(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(videos / "more/0.mp4", count=2)
    assert main(["timeline", "videos", *OPTIONS, "--output=out"]) == 1
    assert "would have the same file in out" in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()
