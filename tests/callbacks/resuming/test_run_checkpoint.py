import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ost_lightning.callbacks import ResumableCheckpoint
from ost_lightning.callbacks.resuming import run_checkpoint
from ost_lightning.errors import UserError
from tests.processes import another_process

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*`weights_only`")


class Model(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Writes(Callback):
    """Records the optimizer steps after which a checkpoint is written, and can send a signal after a step."""

    def __init__(self, signal_after: int | None = None, number: signal.Signals = signal.SIGTERM) -> None:
        self.steps: list[int] = []
        self.signal_after, self.number = signal_after, number

    def on_before_zero_grad(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step + 1 == self.signal_after:
            signal.raise_signal(self.number)

    def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
        self.steps.append(trainer.global_step)


def fit(folder: Path, writes: Writes, checkpoint: ResumableCheckpoint, **settings: Any) -> None:
    trainer = Trainer(
        callbacks=[checkpoint, writes],
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 1, "limit_val_batches": 0, **settings},
    )
    numbers = DataLoader(torch.ones(6, 1), batch_size=1)
    trainer.fit(Model(), numbers, numbers)


@pytest.mark.parametrize(
    ("every_n_steps", "settings", "expected"),
    [
        (None, {}, [6]),
        (2, {}, [2, 4, 6]),
        (1, {"accumulate_grad_batches": 2}, [1, 2, 3]),
        (None, {"max_epochs": 2}, [6, 12]),
        (None, {"limit_val_batches": 1, "val_check_interval": 4}, [4, 6]),
        (4, {"limit_val_batches": 1, "val_check_interval": 4}, [4, 6]),
        # a validation between accumulated gradients writes nothing
        (None, {"limit_val_batches": 1, "val_check_interval": 3, "accumulate_grad_batches": 2}, [3, 3]),
    ],
)
def test_the_checkpoint_is_written_at_these_steps(
    tmp_path: Path, every_n_steps: int | None, settings: dict[str, Any], expected: list[int]
) -> None:
    writes = Writes()
    fit(tmp_path, writes, ResumableCheckpoint(every_n_steps, every_minutes=None), **settings)
    assert writes.steps == expected
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == expected[-1]


def test_the_checkpoint_is_written_every_few_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def half_a_minute_later() -> float:
        nonlocal now
        now += 30.0
        return now

    monkeypatch.setattr(run_checkpoint.time, "monotonic", half_a_minute_later)
    often, never = Writes(), Writes()
    fit(tmp_path, often, ResumableCheckpoint(every_minutes=1.0))
    fit(tmp_path, never, ResumableCheckpoint(every_minutes=1000.0))
    assert (often.steps, never.steps) == ([2, 4, 6], [6])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_stops_after_the_step_with_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    writes = Writes(signal_after=3, number=number)
    with pytest.raises(SIGTERMException) as stopped:
        fit(tmp_path, writes, ResumableCheckpoint(every_minutes=None))
    assert stopped.value.code == 128 + number
    assert writes.steps == [3]


def test_a_signal_in_the_last_step_of_an_epoch_stops_after_the_epoch(tmp_path: Path) -> None:
    writes = Writes(signal_after=6)
    with pytest.raises(SIGTERMException):
        fit(tmp_path, writes, ResumableCheckpoint(every_minutes=None), max_epochs=3)
    assert writes.steps == [6]


@pytest.mark.parametrize("requeue", [True, False])
def test_a_stopped_job_is_requeued_if_wanted(tmp_path: Path, requeue: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    requeued: list[bool] = []
    monkeypatch.setattr(run_checkpoint, "requeue_slurm_job", lambda: requeued.append(True))
    with pytest.raises(SIGTERMException):
        fit(tmp_path, Writes(signal_after=2), ResumableCheckpoint(every_minutes=None, requeue=requeue))
    assert requeued == [True] * requeue


def test_a_job_that_its_user_stopped_is_not_requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requeued: list[bool] = []
    monkeypatch.setattr(run_checkpoint, "requeue_slurm_job", lambda: requeued.append(True))
    with pytest.raises(SIGTERMException):
        fit(tmp_path, Writes(signal_after=2, number=signal.SIGINT), ResumableCheckpoint(every_minutes=None))
    assert requeued == []


def test_a_fast_dev_run_saves_nothing_and_is_interrupted_at_once(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        fit(tmp_path, Writes(signal_after=1, number=signal.SIGINT), ResumableCheckpoint(), fast_dev_run=3)
    assert isinstance(stopped.value.__context__, KeyboardInterrupt)


def test_a_fast_dev_run_writes_nothing(tmp_path: Path) -> None:
    writes = Writes()
    fit(tmp_path, writes, ResumableCheckpoint(every_n_steps=1), fast_dev_run=3)
    assert writes.steps == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"every_n_steps": 0}, "every_n_steps is 0"), ({"every_minutes": 0.0}, "every_minutes is 0.0")],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ResumableCheckpoint(**settings)


def test_a_training_locks_its_folder(tmp_path: Path) -> None:
    class Competitor(Writes):
        def on_train_batch_start(self, *_: Any) -> None:
            with pytest.raises(AssertionError), another_process(tmp_path):
                pass

    fit(tmp_path, Competitor(), ResumableCheckpoint(), max_steps=1)
    with another_process(tmp_path):
        with pytest.raises(UserError, match="is in use: process unknown"):
            fit(tmp_path, Writes(), ResumableCheckpoint(), max_steps=1)
        fit(tmp_path, Writes(), ResumableCheckpoint(), fast_dev_run=1)
