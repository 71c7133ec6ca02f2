"""Whatever can be checked in seconds is checked before a model is asked for."""

import multiprocessing
import shutil
import sys
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import CombinedDataModule, LabeledVideos, ToyWorld, VideoList, VideoLists
from ost_lightning.experiment.preflight import device_count, start_reading
from ost_lightning.models.encoders.pretrained.hub import weights_bytes
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.vocabulary import EvaluationStage
from tests.small_experiments import own_videos

NO_MODEL = "--model.video_clip.pretrained=nobody/nothing"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("project")
    options = own_videos(folder / "videos")
    (folder / "videos/numbers.txt").write_text("0.mp4 0\n1.mp4 2\n")
    (folder / "videos/gone.txt").write_text("0.mp4 0\n9.mp4 1\n")
    (folder / "a_file").touch()
    return folder, [*options, NO_MODEL, f"--data.root={folder / 'videos'}"]


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("test", ["--data.root=nowhere"], "nowhere does not exist"),
        ("test", ["--data.test.own.list=nothing.txt"], "nothing.txt does not exist"),
        ("test", ["--data.test.own.list=numbers.txt"], "videos/numbers.txt:2: the label 2 is outside"),
        ("predict", ["--data.test.own.list=gone.txt"], "1 of 2 listed videos of own are missing"),
        ("validate", [], "nothing to validate"),
        ("test", ["--model.descriptors_per_class=3"], "fewer than 3 spatio descriptors"),
        ("fit", ["--data.train.labels=nothing"], "There is no label space 'nothing'"),
        ("fit", ["--data.loading.global_batch_size=5"], "The training set has 4 videos, fewer than"),
        ("fit", ["--data.loading.global_batch_size=3", "--trainer.devices=2"], "can't be divided evenly over 2"),
        ("test", ["--data.clips.short_side=300"], "a crop shows 16 % of a frame"),
        ("test", ["--model.video_clip.init_from=no.ckpt"], "There is no checkpoint no.ckpt (video_clip.init_from)"),
        ("test", ["--trainer.barebones=true"], "trainer.barebones is true"),
        ("test", ["--tracking.folder=a_file"], "a_file is not a folder"),
        ("test", ["--model.video_clip.pretrained=tiny", "--data.clips.crop_size=40"], "the checkpoint reads 48 x 48"),
        ("test", [], "There is no pre-trained model 'nobody/nothing'"),
    ],
)
def test_cheap_mistakes_are_told_before_the_model_is_asked_for(
    command: str,
    options: list[str],
    message: str,
    project: tuple[Path, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project[0])
    monkeypatch.setattr(sys, "argv", ["ost"])
    assert main([command, *project[1], *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("runs").exists()


def test_a_full_disk_is_told_before_training(
    project: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project[0])
    monkeypatch.setattr(sys, "argv", ["ost"])
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 21_000_000, 21_000_000))
    tiny = [*project[1], "--model.video_clip.pretrained=tiny", "--trainer.max_steps=0"]
    assert main(["fit", *tiny]) == 1
    needed = -(-(20 * 10**6 + 3 * weights_bytes("tiny")) // 10**6)
    message = " ".join(capsys.readouterr().err.split())
    assert f"has 21 MB of free space, but a checkpoint of this model takes at least {needed} MB" in message
    assert main(["test", *tiny, "--data.root=nowhere"]) == 1  # writes no checkpoint
    assert "nowhere does not exist" in capsys.readouterr().err


def test_lists_are_read_once(project: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(VideoLists):
        reads = 0

        def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
            self.reads += 1
            return {"own": self.training_videos()}

    monkeypatch.chdir(project[0])
    data = Counting("videos", train=VideoList(Path("train.txt")))
    assert len(data.read_ahead("test")) == 1
    data.setup("test")
    assert data.reads == 1
    data.setup("test")  # of another run, before which the files may have changed
    assert data.reads == 2


def test_data_that_is_made_first_is_not_read_ahead() -> None:
    assert ToyWorld().needs_preparation
    assert CombinedDataModule(test=[ToyWorld()]).needs_preparation
    assert not CombinedDataModule(test=[VideoLists("videos")]).needs_preparation


@pytest.mark.parametrize(
    ("devices", "accelerator", "count"),
    [
        (2, "gpu", 2),
        ("3", "auto", 3),
        ([0, 2], "gpu", 2),
        ("auto", "cpu", 1),
        ("auto", "tpu", None),
    ],
)
def test_the_number_of_processes(devices: object, accelerator: str, count: int | None) -> None:
    assert device_count({"devices": devices, "accelerator": accelerator, "num_nodes": 1}) == count
    if count:
        assert device_count({"devices": devices, "accelerator": accelerator, "num_nodes": 3}) == 3 * count


@pytest.mark.parametrize(
    ("stage", "changed", "begins"),
    [
        ("test", {}, True),
        ("validate", {}, True),
        ("predict", {"strategy": "ddp"}, True),
        ("fit", {}, True),
        ("fit", {"ckpt_path": "last.ckpt"}, False),  # training continues somewhere else
        ("test", {"ckpt_path": "last.ckpt"}, True),
        ("ablate", {}, False),
        ("test", {"devices": 2}, False),
        ("test", {"devices": [1]}, False),
        ("test", {"devices": [0]}, True),
        ("test", {"num_nodes": 2}, False),
        ("test", {"strategy": "ddp_spawn"}, False),
        ("test", {"pretrained": "nobody/nothing"}, False),
    ],
)
def test_videos_are_read_early_by_one_process_that_knows_which(
    stage: str, changed: dict[str, object], begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(VideoLists, "start_reading", lambda _, stage, expected, on_gpu: calls.append((stage, expected)))
    trainer = {"devices": 1, "num_nodes": 1, "accelerator": "cpu", "strategy": "auto"}
    settings = {"ckpt_path": None, "pretrained": "tiny", **trainer, **changed}
    encoder = {"init_args": {"pretrained": settings["pretrained"]}}
    start_reading(
        VideoLists("videos"),
        {
            "trainer": {name: settings[name] for name in trainer},
            "model": {"init_args": {"video_clip": encoder}},
            "ckpt_path": settings["ckpt_path"],
        },
        stage,
    )
    assert [name for name, _ in calls] == ([stage] if begins else [])
    assert all(expected.image_size == 48 for _, expected in calls)


def test_a_model_that_cannot_be_loaded_ends_the_workers(
    project: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project[0])
    monkeypatch.setattr(sys, "argv", ["ost"])
    shutil.copytree(tiny_clip_folder(), project[0] / "damaged")
    (project[0] / "damaged/model.safetensors").write_bytes(b"damaged")
    before = set(multiprocessing.active_children())
    options = [*project[1], "--model.video_clip.pretrained=damaged", "--data.loading.workers=1"]
    assert main(["test", *options]) == 1
    assert "damaged" in capsys.readouterr().err
    assert set(multiprocessing.active_children()) <= before
