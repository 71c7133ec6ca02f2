import csv
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ost_lightning.cli import main
from ost_lightning.experiment import ExperimentCLI
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import MeanPooling, TemporalTransformer, VideoCLIP
from ost_lightning.resources import shipped
from ost_lightning.tasks import ContrastiveRecognition, SupervisedRecognition

SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
OST_ON_TEXT4VIS = [
    "--config=baselines/ost_on_text4vis",
    "--model.video_clip.temporal_head.layers=2",
    "--model.label_smoothing=0.1",
    "--model.mixing.mixup=0.8",
    "--data.clips.rand_augment=[2,9]",
]
BASELINES = {
    "clip": (MeanPooling, CategoryName, ContrastiveRecognition),
    "vifi_clip": (MeanPooling, CategoryName, SupervisedRecognition),
    "vifi_clip_contrastive": (MeanPooling, CategoryName, ContrastiveRecognition),
    "action_clip": (TemporalTransformer, CategoryName, ContrastiveRecognition),
    "text4vis": (TemporalTransformer, CategoryName, SupervisedRecognition),
    "ost_on_text4vis": (TemporalTransformer, OptimalDescriptorSolver, SupervisedRecognition),
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in a folder that holds nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def rows(run: str) -> list[dict[str, str]]:
    with (Path(run) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_baseline_is_tried() -> None:
    names = {path.stem for path in (shipped("experiments") / "baselines").glob("*.yaml")}
    assert names == {*BASELINES, "x_clip"}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_lie_over_an_experiment(name: str) -> None:
    """The overlay says which mechanisms, the experiment everything else."""
    head, matcher, task = BASELINES[name]
    options = [*SMALL, f"--config=baselines/{name}", "--trainer.limit_test_batches=1", "--trainer.callbacks=[]"]
    cli = ExperimentCLI(["test", *options, "--data.loading.evaluation_batch_size=2"])
    assert isinstance(cli.model, task)
    assert isinstance(cli.model.matcher, matcher)
    assert isinstance(cli.model.video_clip, VideoCLIP)
    assert cli.model.video_clip.pretrained == "tiny"
    assert isinstance(cli.model.video_clip.temporal_head, head)
    assert float(cli.trainer.callback_metrics["test/unseen/videos"]) == 2


def test_x_clip_lies_over_an_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    """Its weights are on the hub, so this only parses."""
    with pytest.raises(SystemExit) as stop:
        main(["test", "--config=own_videos", "--config=baselines/x_clip", "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["video_clip"]["class_path"] == "ost_lightning.models.XCLIP"
    assert printed["model"]["init_args"]["video_clip"]["init_args"]["pixel_statistics"] == "imagenet"


def test_supervised_fit_checkpoint_test_gives_the_same_metric() -> None:
    options = [*SMALL, *OST_ON_TEXT4VIS]
    assert main(["fit", *options, "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    validated = [row["val/seen/top1"] for row in rows("runs/toyworld/version_0") if row["val/seen/top1"]]
    head = [name for name in torch.load(checkpoint, weights_only=True)["state_dict"] if "temporal_head" in name]
    assert head
    assert main(["validate", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert rows("runs/toyworld/version_1")[-1]["val/seen/top1"] == validated[-1]
    # the mixture with the original weights has a head, too, though that has no original
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert 0 <= float(rows("runs/toyworld/version_2")[-1]["test/unseen/ensembled_0.2/top1"]) <= 1
