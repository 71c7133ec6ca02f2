from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ost_lightning.callbacks import GradientNorm, NonFiniteLossGuard, ResumableCheckpoint
from ost_lightning.callbacks.monitoring import loss_guard
from ost_lightning.errors import UserError
from ost_lightning.video import ClipBatch

BAD = 3


class Model(LightningModule):
    """Model whose loss is not finite at step `BAD`."""

    def __init__(self, bad: float = float("nan")) -> None:
        super().__init__()
        self.layer, self.bad = nn.Linear(1, 1), bad

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        loss = self.layer(torch.ones(1, 1)).sum()
        return loss * self.bad if batch_idx == BAD else loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def batch(number: int) -> ClipBatch:
    frames = torch.full((2, 1, 1, 3, 4, 4), number, dtype=torch.uint8)
    ids = (f"first{number}.mp4", f"second{number}.mp4")
    return ClipBatch(frames, torch.tensor([0, number]), torch.ones(2, dtype=torch.bool), ids)


def trainer(folder: Path, count: int, *more: Callback, bad: float = float("nan"), **settings: Any) -> None:
    run = Trainer(
        callbacks=[NonFiniteLossGuard(), GradientNorm(every=1), *more],
        logger=CSVLogger(folder, name="run", version=0),
        max_epochs=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **settings,
    )
    loader = DataLoader([batch(number) for number in range(count)], batch_size=None)
    run.fit(Model(bad), loader, loader if "val_check_interval" in settings else None)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_batch_is_reported_and_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The loss is nan after step 4, for the videos first3\.mp4, second3\.mp4"):
        trainer(tmp_path, BAD + 3)
    (file,) = (tmp_path / "run").rglob("nonfinite-*.safetensors")
    with safe_open(file, framework="pt") as saved:
        assert torch.equal(saved.get_tensor("frames"), batch(BAD).frames)
        assert torch.equal(saved.get_tensor("labels"), batch(BAD).labels)
        assert saved.metadata()["ids"].split("\n") == list(batch(BAD).ids)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_infinite_loss_stops_training_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The loss is -?inf after step 4"):
        trainer(tmp_path, BAD + 3, bad=float("inf"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_with_finite_losses_continues_and_logs_the_gradient_norm(tmp_path: Path) -> None:
    trainer(tmp_path, BAD)
    assert not list(tmp_path.rglob("nonfinite-*"))
    header, *rows = (tmp_path / "run" / "version_0" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("train/gradient_norm")
    # the layer's gradient is (1, 1) for weight and bias, at every step
    assert [float(row.split(",")[column]) for row in rows] == pytest.approx([2**0.5] * BAD)


class Arrival:
    """CUDA event of a loss that is read one step late, as on a GPU."""

    def synchronize(self) -> None:
        pass


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*`weights_only`")
@pytest.mark.parametrize(
    ("every_n_steps", "settings"),
    [(1, {}), (None, {"val_check_interval": BAD + 1}), (None, {})],
    ids=["steps", "validation", "epoch"],
)
def test_the_last_checkpoint_is_intact_although_the_loss_arrives_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_n_steps: int | None, settings: dict[str, int]
) -> None:
    monkeypatch.setattr(
        loss_guard,
        "_copy_to_host",
        lambda loss, parts, number: loss_guard._Step(number, parts, loss.clone(), Arrival()),
    )
    count = BAD + 1 if every_n_steps is None and not settings else BAD + 3
    with pytest.raises(UserError, match=r"The loss is nan after step 4, for the videos first3\.mp4"):
        trainer(tmp_path, count, ResumableCheckpoint(every_n_steps=every_n_steps, every_minutes=None), **settings)
    found = list(tmp_path.rglob("last.ckpt"))
    assert len(found) == (every_n_steps is not None)
    for file in found:
        last = torch.load(file, weights_only=True)
        assert last["global_step"] == BAD
        assert all(torch.isfinite(weight).all() for weight in last["state_dict"].values())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_process_saves_weights_corrupted_by_anothers_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.setattr(run.strategy, "reduce_boolean_decision", lambda decision: False)
    with pytest.raises(UserError, match=r"Another process hit a non-finite loss after step 0; see its error"):
        NonFiniteLossGuard().on_save_checkpoint(run, Model(), {})
