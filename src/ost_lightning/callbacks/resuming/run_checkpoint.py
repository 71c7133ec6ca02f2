"""The checkpoint that a run is resumed from."""

import signal
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ost_lightning.callbacks.resuming import CheckpointNotes, MetricsTable
from ost_lightning.callbacks.resuming.lightning_loops import (
    has_epoch_metrics,
    is_accumulating,
    is_epoch_complete,
    is_epoch_over,
    mark_validation_as_begun,
    validation_follows,
)
from ost_lightning.callbacks.resuming.run_lock import lock_run, unlock_run
from ost_lightning.callbacks.resuming.stop_signals import StopSignals, requeue_slurm_job
from ost_lightning.errors import UserError


class _Action(IntEnum):
    """Action of a process after a step, in ascending order of priority."""

    CONTINUE = 0
    SAVE = 1
    STOP = 2


class ResumableCheckpoint(Checkpoint):
    """Keeps `checkpoints/last.ckpt` in the run's folder; training resumes from it as if it had not been interrupted.

    The checkpoint is written at the end of every epoch, before every validation, periodically in between, and when a
    signal (SIGTERM, SIGUSR1, Ctrl-C) requests a stop. It is always written after a complete optimizer step, which is
    the same in all processes. A stopped process exits with status 128 + signal; a SLURM job is requeued first, unless
    Ctrl-C stopped it.

    Args:
        every_n_steps: Number of optimizer steps between two checkpoints; None for no such interval.
        every_minutes: Minutes between two checkpoints; None for no such interval.
        requeue: Whether to requeue a stopped SLURM job.
    """

    def __init__(
        self, every_n_steps: int | None = None, every_minutes: float | None = 15.0, requeue: bool = True
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise UserError(f"checkpoint.every_n_steps is {every_n_steps}: it must be at least 1, or null for never.")
        if every_minutes is not None and every_minutes <= 0:
            raise UserError(f"checkpoint.every_minutes is {every_minutes}: it must be positive, or null for never.")
        self.every_n_steps, self.every_minutes, self.requeue = every_n_steps, every_minutes, requeue
        self._signals = StopSignals()
        self._file: Path | None = None
        self._step = self._written_step = -1
        self._written_at = 0.0
        self._before_validation = False
        self._pending_rows = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the file, locks the run's folder, and installs the signal handlers.

        Raises:
            UserError: If another process is training in the folder.
        """
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        self._file = folder / "checkpoints" / "last.ckpt"
        if not _is_fast_dev_run(trainer):
            lock_run(folder)
        self._step, self._written_at = trainer.global_step, time.monotonic()
        if not _is_fast_dev_run(trainer):
            self._signals.listen(announce=trainer.is_global_zero)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops on request, after the previous epoch's checkpoint was written and its metrics were logged."""
        written = not _is_fast_dev_run(trainer) and self._written_step == trainer.global_step
        if written and _strongest(trainer, self._requested(trainer)) == _Action.STOP:
            self._stop(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the checkpoint if it is due, and stops on request."""
        if _is_fast_dev_run(trainer) or trainer.global_step == self._step:
            return  # gradients are being accumulated, and checkpoints don't contain gradients
        self._step = trainer.global_step
        # before a validation and at the end of an epoch the hooks below write: a run resumed from here would skip both
        if not is_epoch_over(trainer) and not validation_follows(trainer):
            self._write_or_stop(trainer, self._requested(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the checkpoint, and stops on request; a run resumed from it starts with the validation.

        Does nothing while gradients are being accumulated, because checkpoints don't contain gradients.
        """
        fitting = (
            trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not _is_fast_dev_run(trainer)
        )
        if fitting and not is_accumulating(trainer):
            self._before_validation = True
            self._write_or_stop(trainer, max(_Action.SAVE, self._requested(trainer)))
            self._before_validation = False

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stops on request in the middle of a validation, if the checkpoint was written before it.

        Only runs with a single process stop here. Several processes can't agree, because their numbers of batches
        differ; they continue until they are killed or the validation ends.
        """
        written = trainer.state.fn == TrainerFn.FITTING and self._written_step == trainer.global_step
        if written and trainer.world_size == 1 and self._signals.received is not None:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the checkpoint, and counts the row of metrics that the trainer logs next as already written."""
        if not _is_fast_dev_run(trainer):
            self._pending_rows = int(is_epoch_complete(trainer) and has_epoch_metrics(trainer))
            self._write(trainer)
            self._pending_rows = 0

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Releases the lock on the run's folder."""
        self._unlock()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Releases the lock on the run's folder."""
        self._unlock()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the number of rows in the run's metrics.csv and the id of its W&B run."""
        if self._before_validation:
            mark_validation_as_begun(checkpoint)
        if trainer.is_global_zero:
            rows = next((logger.rows() for logger in trainer.loggers if isinstance(logger, MetricsTable)), 0)
            wandb_id = next((logger.version for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)
            CheckpointNotes(metrics_rows=rows + self._pending_rows, wandb_id=wandb_id).write_to(checkpoint)

    def _unlock(self) -> None:
        if self._file is not None:
            unlock_run(self._file.parent.parent)

    def _requested(self, trainer: Trainer) -> _Action:
        """Returns the action that this process requests."""
        if self._signals.received is not None:
            return _Action.STOP
        minutes = (time.monotonic() - self._written_at) / 60
        by_steps = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        by_time = self.every_minutes is not None and minutes >= self.every_minutes
        return _Action.SAVE if by_steps or by_time else _Action.CONTINUE

    def _write_or_stop(self, trainer: Trainer, requested: _Action) -> None:
        """Makes every process take the strongest action that any of them requests."""
        action = _strongest(trainer, requested)
        if action != _Action.CONTINUE:
            self._write(trainer)
        if action == _Action.STOP:
            self._stop(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self._file is None:
            raise RuntimeError("a checkpoint was due before training started")
        trainer.save_checkpoint(self._file, weights_only=False)
        self._written_step, self._written_at = trainer.global_step, time.monotonic()

    def _stop(self, trainer: Trainer) -> None:
        """Ends this process after the checkpoint was written.

        Raises:
            SIGTERMException: Always, with the exit status.
        """
        reason = self._signals.received or signal.SIGTERM
        rank_zero_info(
            f"Stopped by {reason.name} after optimizer step {trainer.global_step}; {self._file} was written. To "
            "resume, add --ckpt_path last to the same command."
        )
        if self.requeue and reason != signal.SIGINT and trainer.is_global_zero:
            requeue_slurm_job()
        trainer.strategy.barrier()
        # only the first process exits with an error status: if others did, the launcher would kill all processes
        raise SIGTERMException(128 + reason if trainer.is_global_zero else 0)


def _strongest(trainer: Trainer, requested: _Action) -> _Action:
    """Returns the strongest action that any process requests."""
    if trainer.world_size == 1:
        return requested
    actions = torch.tensor(requested.value, device=trainer.strategy.root_device)
    return _Action(int(trainer.strategy.reduce(actions, reduce_op="max")))


def _is_fast_dev_run(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined] # set at run time
