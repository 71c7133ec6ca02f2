"""The six data sets, as miniatures in their publishers' layouts, through the real command and the data modules."""

import csv
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.cli import main
from ost_lightning.datamodules import (
    HMDB51,
    CombinedDataModule,
)
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from tests.datamodules import miniatures
from tests.datamodules.miniatures import (
    HMDB,
    UCF,
    activitynet_data,
    hmdb51_data,
    kinetics400_data,
    kinetics600_data,
    ssv2_data,
    ucf101_data,
)
from tests.videos import decode_all


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def options(name: str) -> list[str]:
    chosen = ["--config=toyworld", f"--data={name}", "--data.root=data", "--data.labels=few"]
    chosen += ["--data.clips.frames=2", "--data.clips.short_side=54", "--data.clips.crop_size=48"]
    chosen += ["--data.loading.global_batch_size=2", "--data.loading.workers=0", "--tracking.wandb=false"]
    chosen += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    if name in ("UCF101", "HMDB51", "Kinetics600"):
        chosen.append("--data.splits=[1,2,3]" if name != "Kinetics600" else "--data.splits=[]")
    return chosen


DATA_SETS = [kinetics400_data, kinetics600_data, ucf101_data, hmdb51_data, ssv2_data, activitynet_data]


@pytest.mark.parametrize("make", DATA_SETS, ids=lambda make: make.__name__)
def test_the_command_trains_and_tests_on_a_miniature(make: Callable[[], tuple[str, list[str]]]) -> None:
    name, sets = make()
    labels = LabelSpace.load("few")
    assert main(["fit", *options(name), "--trainer.max_steps=2"]) == 0
    assert main(["test", *options(name), "--ckpt_path=runs/toyworld/version_0/checkpoints/last.ckpt"]) == 0
    with Path("runs/toyworld/version_1/metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    for wanted in sets:
        assert float(row[f"test/{wanted}/videos"]) == 2 * len(labels)
        assert 0 <= float(row[f"test/{wanted}/top1"]) <= 1


def test_the_command_knows_the_arguments_of_the_base_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config=toyworld", "--data=HMDB51", "--data.root=data", "--data.shotz=2"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "Option 'shotz' is not accepted. Did you mean 'shots'?" in message
    assert main(["fit", "--config=toyworld", "--data=ActivityNet", "--data.root=data", "--data.splits=[1]"]) == 1
    assert "Option 'splits' is not accepted." in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--data.help=HMDB51"])
    printed = " ".join(capsys.readouterr().out.split())
    for described in ("Seed for drawing the few-shot subset.", "Splits to test on.", "Label space for training;"):
        assert described in printed


def test_missing_videos_are_reported_before_anything_begins(capsys: pytest.CaptureFixture[str]) -> None:
    hmdb51_data()
    Path("data/kick/Film_0_kick_f_cm_np1_ba_med_0.avi").unlink()
    assert main(["test", *options("HMDB51")]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "1 of 6 listed videos of few-split1 are missing. The first is Film_0_kick_f_cm_np1_ba_med_0.avi" in message
    assert "tried kick/Film_0_kick_f_cm_np1_ba_med_0.avi, Film_0" in message
    assert "skip" in message
    assert main(["test", *options("HMDB51"), "--data.loading.on_missing=skip"]) == 0
    with next(Path("runs/toyworld").glob("*/metrics.csv")).open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/few-split1/videos"]) == 5
    shutil.rmtree("data/kick")
    shutil.rmtree("data/kick_ball")
    shutil.rmtree("data/brush_hair")
    assert main(["test", *options("HMDB51"), "--data.loading.on_missing=skip"]) == 1
    assert "6 of 6 listed videos" in " ".join(capsys.readouterr().err.split())


def test_videos_may_be_in_tar_shards_or_have_another_extension() -> None:
    hmdb51_data()
    videos = sorted(path for path in Path("data").rglob("*.avi"))
    with tarfile.open("data/shard-000000.tar", "w") as shard:
        for path in videos[:6]:
            shard.add(path, str(path.relative_to("data")))
            path.unlink()
    for path in videos[6:]:
        path.rename(path.with_suffix(".mp4"))
    assert not HMDB51("data", labels="few").training_videos().missing
    assert main(["test", *options("HMDB51")]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/few-split2/videos"]) == 6


def test_videos_may_be_folders_of_frames() -> None:
    hmdb51_data()
    videos = sorted(Path("data").rglob("*.avi"))
    for path in videos[::2]:
        path.with_suffix("").mkdir()
        for number, pixels in enumerate(decode_all(path), start=1):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path.with_suffix("") / f"img_{number:05d}.jpg")
        path.unlink()
    assert not HMDB51("data", labels="few").training_videos().missing
    assert main(["test", *options("HMDB51")]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (float(row["test/few-split1/videos"]), float(row["test/few-split1/undecodable"])) == (6, 0)


def test_several_data_sets_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    miniatures.hmdb51(Path("hmdb"), HMDB)
    miniatures.ucf101(Path("ucf"), UCF)
    miniatures.label_space(Path("few-hmdb"), "hmdb51", ("kick ball", "kick", "brush hair"))
    miniatures.label_space(Path("few-ucf"), "ucf101", ("handstand pushups", "apply eye makeup"))
    Path("several.yaml").write_text(
        """
data:
  class_path: CombinedDataModule
  init_args:
    test:
      - class_path: HMDB51
        init_args: {root: hmdb, labels: few-hmdb, splits: [1, 2, 3]}
      - class_path: UCF101
        init_args: {root: ucf, labels: few-ucf, splits: [1, 2, 3]}
    clips: {frames: 2, short_side: 54, crop_size: 48}
    loading: {workers: 0}
"""
    )
    quiet = ["--config=toyworld", "--config=several.yaml", "--tracking.wandb=false"]
    quiet += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    assert main(["test", *quiet]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    counts = {f"few-hmdb-split{k}": 6.0 for k in (1, 2, 3)} | {f"few-ucf-split{k}": 4.0 for k in (1, 2, 3)}
    assert {name: float(row[f"test/{name}/videos"]) for name in counts} == counts
    with pytest.raises(UserError, match="`clips` is set for HMDB51 inside CombinedDataModule"):
        CombinedDataModule(test=[HMDB51("hmdb", clips=ClipSettings(frames=3))])
    with pytest.raises(UserError, match="nothing to train on"):
        CombinedDataModule(test=[HMDB51("hmdb")]).training_videos()
