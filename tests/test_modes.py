"""Training modes: overlays of an experiment."""

import csv
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ost_lightning.cli import main
from ost_lightning.models import ContextualVideoCLIP
from ost_lightning.recognition import load_trained_model
from ost_lightning.resources import shipped

MODES = sorted({path.stem for path in (shipped("experiments") / "modes").glob("*.yaml")} - {"fp8"})
"""Ways of training; fp8 is for evaluation."""
INGREDIENTS = sorted(path.stem for path in (shipped("experiments") / "ingredients").glob("*.yaml"))
SLOW = ("compiled", "frozen_text", "frozen_vision", "layer_decay", "lora", "swa")
"""Modes that take long, and those whose settings have quick tests of their own."""
SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--data.clips.frames=4"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.slow) if mode in SLOW else mode for mode in MODES]
)
def test_every_mode_can_be_trained_and_tested(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*SMALL, f"--config=modes/{mode}"]
    # the averaged weights of two epochs are those before the first step
    short = [f"--trainer.max_epochs={4 if mode == 'swa' else 1}", "--trainer.limit_val_batches=0"]
    few = ["--data.loading.global_batch_size=8", "--trainer.limit_train_batches=2"]
    assert main(["fit", *options, *short, *few]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    ratios = ["--trainer.callbacks=WeightEnsembling", "--trainer.callbacks.ratios=[0.2]"]
    assert main(["test", *options, *ratios, f"--ckpt_path={checkpoint}"]) == 0
    assert "ensembled_0.2" in (tmp_path / "runs" / "toyworld" / "version_1" / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fp8_is_a_mode_of_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fp8 = [*SMALL, "--config=modes/fp8", "--trainer.accelerator=cpu"]
    assert main(["fit", *fp8]) == 1
    assert "Fp8Vision is for evaluation" in " ".join(capsys.readouterr().err.split())
    assert main(["test", *fp8, "--trainer.limit_test_batches=1"]) == 0
    (results,) = Path("runs/toyworld").glob("version_*/results.json")
    assert json.loads(results.read_text())["model"]["vision_products"] == "fp8"
    assert main(["predict", *fp8, "--trainer.limit_predict_batches=1"]) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ingredients_are_laid_over_an_experiment_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overlays = [f"--config=ingredients/{name}" for name in INGREDIENTS]
    few = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=0"]
    assert main(["fit", *SMALL, *overlays, *few, "--data.loading.global_batch_size=8"]) == 0
    saved = torch.load("runs/toyworld/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["ost_regularizers"].keys() == {"StructureDistillation"}
    assert any(name.startswith("regularizers.") for name in saved["state_dict"])
    few = ["--trainer.limit_test_batches=1", "--data.loading.evaluation_batch_size=2", "--ckpt_path=last"]
    # loss terms are for training only
    tested = [f"--config=ingredients/{name}" for name in ("trajectory_average", "temporal_context")]
    assert main(["test", *SMALL, *tested, *few]) == 0
    scores = json.loads(Path("runs/toyworld/version_1/results.json").read_text())["sets"]["unseen"]["scores"]
    assert scores.keys() == {"as trained", "ensembled_0.2", "trajectory_average"}
    for file in ("last.ckpt", "trajectory_average.ckpt"):
        model = load_trained_model(f"runs/toyworld/version_0/checkpoints/{file}").video_clip
        assert isinstance(model, ContextualVideoCLIP)
        assert model.temporal_context.context_tokens == 96
        assert model.state_dict().keys() == ContextualVideoCLIP("tiny").state_dict().keys()


class Weights(Callback):
    """Records the weights at the start of every epoch, and after the last step."""

    initial: ClassVar[list[dict[str, Tensor]]] = []
    last: ClassVar[dict[str, Tensor]] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.initial.append({name: weight.detach().clone() for name, weight in pl_module.named_parameters()})

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.last.update({name: weight.detach().clone() for name, weight in pl_module.named_parameters()})


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_last_checkpoint_contains_the_average_of_the_last_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Weights, "initial", [])
    short = ["--trainer.max_epochs=4", "--trainer.limit_val_batches=0", "--tracking.name=averaged"]
    few = ["--data.loading.global_batch_size=8", "--trainer.limit_train_batches=1"]
    options = ["fit", *SMALL, "--config=modes/swa", *short, *few, "--ckpt_path=last"]
    options += [f"--trainer.callbacks+={Weights.__module__}.Weights"]
    assert main(options) == 0
    assert len(Weights.initial) == 4
    file = Path("runs/averaged/version_0/checkpoints/last.ckpt")
    saved = torch.load(file, weights_only=True)["state_dict"]
    changed = 0
    for name, last in Weights.last.items():
        torch.testing.assert_close(saved[name], torch.stack([epoch[name] for epoch in Weights.initial[2:]]).mean(0))
        changed += not torch.equal(saved[name], last)
    assert changed > len(Weights.last) / 2
    # a finished run is not averaged again
    written = file.stat().st_mtime_ns
    assert main(options) == 0
    assert file.stat().st_mtime_ns == written
    assert main(["fit", *SMALL, "--config=modes/swa", "--trainer.max_epochs=-1", "--trainer.max_steps=1"]) == 1
    assert "trainer.max_epochs is -1, unlimited: set it" in " ".join(capsys.readouterr().err.split())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_16_bit_weights_can_be_tested_but_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = []
    for run, precision in enumerate(("32-true", "bf16-true", "64-true")):
        assert main(["test", *SMALL, f"--trainer.precision={precision}"]) == 0
        with (Path("runs/toyworld") / f"version_{run}" / "metrics.csv").open(newline="") as file:
            scores.append(float(list(csv.DictReader(file))[-1]["test/unseen/top1"]))
    assert scores[0] > 0.3
    assert scores[2] == scores[0]
    assert scores[1] == pytest.approx(scores[0], abs=0.1)  # two of twenty videos
    assert main(["fit", *SMALL, "--trainer.precision=bf16-true"]) == 1
    assert "Set it to bf16-mixed" in " ".join(capsys.readouterr().err.split())
