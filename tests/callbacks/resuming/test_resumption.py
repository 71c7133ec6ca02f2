"""Settings of a run that take precedence over those in the checkpoint it resumes from."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from ost_lightning.callbacks import ExactResume
from ost_lightning.cli import main
from ost_lightning.errors import UserError

FIT = [
    "fit",
    "--config=toyworld",
    "--data.train_clips=1",
    "--data.test_clips=1",
    "--data.loading.workers=0",
    "--data.clips.frames=2",
    "--data.loading.global_batch_size=20",  # two steps per epoch
    "--trainer.limit_val_batches=0",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--tracking.wandb=false",
    "--model.optimizer.warmup_fraction=0",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a training of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ost"])
        assert main([*FIT, "--trainer.max_epochs=1", "--model.optimizer.learning_rate=1e-4"]) == 0
    return folder / "runs/toyworld/version_0/checkpoints/last.ckpt"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def test_the_optimizer_has_the_settings_of_this_run(trained: Path) -> None:
    settings = {"learning_rate": "1e-3", "weight_decay": "0.5", "betas": "[0.8,0.95]", "eps": "1e-6"}
    options = [f"--model.optimizer.{name}={value}" for name, value in settings.items()]
    assert main([*FIT, "--trainer.max_epochs=2", *options, f"--ckpt_path={trained}"]) == 0
    run = Path("runs/toyworld/version_0")
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    for group, decay in zip(last["optimizer_states"][0]["param_groups"], (0.5, 0.0), strict=True):
        assert group["initial_lr"] == 1e-3
        assert group["weight_decay"] == decay
        assert tuple(group["betas"]) == (0.8, 0.95)
        assert group["eps"] == 1e-6
    with (run / "metrics.csv").open(newline="") as file:
        rates = [float(row["lr-AdamW/pg1"]) for row in csv.DictReader(file) if row["lr-AdamW/pg1"]]
    # a cosine from 1 to 0.01 over four steps, after two and three of them
    assert rates == pytest.approx([1e-3 * (0.01 + 0.99 * 0.5), 1e-3 * (0.01 + 0.99 * (1 - 0.5**0.5) / 2)])


@pytest.mark.parametrize("other", ["--config=modes/layer_decay", "--config=modes/frozen_text"])
def test_other_parameter_groups_are_rejected(trained: Path, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "--trainer.max_epochs=2", other, f"--ckpt_path={trained}"]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    assert "other parameter groups (36 + 58 weights) than this run" in message
    assert "--model.video_clip.init_from FILE instead of --ckpt_path" in message


@pytest.mark.parametrize(
    ("shapes", "equal"),
    [
        ([(2, 3), (2,)], True),
        ([(2, 3), None], True),  # the optimizer had no state for it yet
        ([(3, 2), (2,)], False),
        ([(2, 3)], False),
    ],
)
def test_weights_of_a_group_are_compared_by_shape(shapes: list[tuple[int, ...] | None], equal: bool) -> None:
    states = {number: {"exp_avg": torch.zeros(shape)} for number, shape in enumerate(shapes) if shape is not None}
    saved = {"state": states, "param_groups": [{"params": [*range(len(shapes))]}]}
    progress = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    loops = {
        "epoch_progress": {"current": progress, "total": progress},
        "epoch_loop.batch_progress": {"current": progress, "total": progress, "is_last_batch": False},
    }
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.state.fn, module, resume = TrainerFn.FITTING, LightningModule(), ExactResume()
    trainer.strategy.optimizers = [torch.optim.AdamW([torch.zeros(2, 3), torch.zeros(2)])]
    resume.on_load_checkpoint(trainer, module, {"optimizer_states": [saved], "loops": {"fit_loop": loops}})
    if equal:
        resume.on_fit_start(trainer, module)
    else:
        with pytest.raises(UserError, match="other parameter groups"):
            resume.on_fit_start(trainer, module)
