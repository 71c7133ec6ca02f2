"""Mistakes in files and settings of an experiment: each is reported in a paragraph, and nothing is written."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.resources import tiny_clip_folder
from tests.small_experiments import metrics, own_videos


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def broken_video(options: list[str]) -> list[str]:
    Path("videos/2.mp4").write_bytes(Path("videos/2.mp4").read_bytes()[:300])
    return options


def text_as_video(options: list[str]) -> list[str]:
    Path("videos/2.mp4").write_text("not a video")
    return options


def missing_folder(options: list[str]) -> list[str]:
    return [*options, "--data.root=elsewhere"]


def line_without_label(options: list[str]) -> list[str]:
    Path("videos/test.txt").write_text("0.mp4 0\n1.mp4\n")
    return options


def label_outside(options: list[str]) -> list[str]:
    Path("videos/test.txt").write_text("0.mp4 0\n1.mp4 2\n")
    return options


def class_without_descriptors(options: list[str]) -> list[str]:
    Path("videos/classes.txt").write_text("juggling\nswimming\nflying\n")
    return options


def too_few_descriptors(options: list[str]) -> list[str]:
    return [*options, "--model.descriptors_per_class=3"]


def clip_without_weights(options: list[str]) -> list[str]:
    Path("bare").mkdir()
    shutil.copy(tiny_clip_folder() / "config.json", "bare")
    return [*options, "--model.video_clip.pretrained=bare"]


def unknown_key_in_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("data:\n  init_args:\n    clips:\n      frmes: 8\n")
    return [*options, "--config=more.yaml"]


def unknown_option(options: list[str]) -> list[str]:
    return [*options, "--model.matchr=CategoryName"]


def bad_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("data:\n  - [\n")
    return [*options, "--config=more.yaml"]


def empty_yaml(options: list[str]) -> list[str]:
    Path("more.yaml").write_text("# nothing yet\n")
    return [*options, "--config=more.yaml"]


def yaml_of_another_encoding(options: list[str]) -> list[str]:
    Path("more.yaml").write_bytes("tracking: {name: \u00e9t\u00e9}\n".encode("latin-1"))
    return [*options, "--config=more.yaml"]


def unknown_matcher(options: list[str]) -> list[str]:
    return [*options, "--model.matcher=OptimalSolver"]


def unknown_callback(options: list[str]) -> list[str]:
    return [*options, "--trainer.callbacks+=WeightEnsembler"]


def missing_experiment(options: list[str]) -> list[str]:
    return [*options, "--config=nonsense"]


def missing_checkpoint(options: list[str]) -> list[str]:
    return [*options, "--ckpt_path=nope.ckpt"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (broken_video, ["videos/2.mp4", "not a readable video file", "on_decode_error count"]),
        (text_as_video, ["videos/2.mp4", "not a readable video file"]),
        (missing_folder, ["elsewhere", "does not exist", "root"]),
        (line_without_label, ["videos/test.txt:2", "'1.mp4' has no label"]),
        (label_outside, ["videos/test.txt:2", "label 2 is outside the label space, which has 2 classes"]),
        (class_without_descriptors, ["1 of 3 classes", "'flying' has 0", "descriptors.json"]),
        (too_few_descriptors, ["fewer than 3 spatio descriptors", "'juggling' has 2"]),
        (clip_without_weights, ["model folder bare", "its weights are missing or damaged"]),
        (unknown_key_in_yaml, ["frmes", "Did you mean 'clips.frames'?"]),
        (unknown_option, ["matchr", "Did you mean 'matcher'?"]),
        (bad_yaml, ["more.yaml:3: not valid YAML"]),
        (empty_yaml, ["more.yaml contains nothing", "Expected settings"]),
        (yaml_of_another_encoding, ["more.yaml is not UTF-8 text"]),
        (unknown_matcher, ["no class OptimalSolver", "Did you mean OptimalDescriptorSolver?"]),
        (unknown_callback, ["no class WeightEnsembler", "Did you mean WeightEnsembling?"]),
        (missing_experiment, ["no experiment file nonsense", "toyworld"]),
        (missing_checkpoint, ["no checkpoint nope.ckpt"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistakes_are_reported_in_a_paragraph(
    mistake: Callable[[list[str]], list[str]], expected: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = mistake(own_videos(Path("videos")))
    before = {path for path in Path().rglob("*")}
    assert main(["test", *options]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    for words in expected:
        assert words in message
    assert "Traceback" not in message
    written = {path for path in Path().rglob("*") if path.is_file()} - before
    assert {path.name for path in written} <= {"config.yaml", "undecodable-0.csv"}


def test_unreadable_videos_can_be_counted_as_wrong() -> None:
    options = broken_video(own_videos(Path("videos")))
    with pytest.warns(UserWarning, match="videos/2.mp4"):
        assert main(["test", *options, "--data.loading.on_decode_error=count"]) == 0
    row = metrics(Path("runs/own_videos/version_0"))[-1]
    assert (float(row["test/own/videos"]), float(row["test/own/undecodable"])) == (4, 1)
    assert float(row["test/own/top1"]) <= 0.75
    assert "2.mp4" in Path("runs/own_videos/version_0/undecodable-0.csv").read_text()
