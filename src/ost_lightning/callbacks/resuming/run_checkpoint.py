"""The checkpoint from which a run goes on."""

import signal
import time
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ost_lightning.callbacks.resuming import CheckpointNotes, MetricsTable
from ost_lightning.callbacks.resuming.stop_signals import StopSignals, requeue_slurm_job
from ost_lightning.errors import UserError

_GO_ON: Final = 0
_SAVE: Final = 1
_STOP: Final = 2


class ResumableCheckpoint(Checkpoint):
    """Keeps `checkpoints/last.ckpt` in the run's folder; training goes on from it as if it had never been interrupted.

    It is written at the end of every epoch, before every validation, now and then in between, and when a signal
    (SIGTERM, SIGUSR1) tells the process to stop: always after a whole optimizer step, in all processes the same.
    A stopped process ends with status 128 + signal; in a SLURM job it queues up again first.

    Args:
        every_n_steps: Write after every so many optimizer steps.
        every_minutes: Write when so many minutes have passed; None does not look at the clock.
        requeue: Whether a stopped SLURM job queues up again.
    """

    def __init__(
        self, every_n_steps: int | None = None, every_minutes: float | None = 15.0, requeue: bool = True
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise UserError(f"checkpoint.every_n_steps is {every_n_steps}: it must be at least 1, or null for never")
        if every_minutes is not None and every_minutes <= 0:
            raise UserError(f"checkpoint.every_minutes is {every_minutes}: it must be positive, or null for never")
        self.every_n_steps, self.every_minutes, self.requeue = every_n_steps, every_minutes, requeue
        self._signals = StopSignals()
        self._file: Path | None = None
        self._step = self._written_step = -1
        self._written_at = 0.0
        self._before_validation = False
        self._rows_to_come = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the file, and listens to signals."""
        self._file = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        self._step, self._written_at = trainer.global_step, time.monotonic()
        self._signals.listen()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops if it is time to and the checkpoint was written at the end of the epoch before.

        Not there already: the epoch's figures are logged after that.
        """
        written = not _rehearsing(trainer) and self._written_step == trainer.global_step
        if written and _agreed(trainer, self._wish(trainer)) == _STOP:
            self._stop(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes and stops if it is time to."""
        if _rehearsing(trainer) or trainer.global_step == self._step:
            return  # in the middle of an accumulation, whose gradients are in no checkpoint
        self._step = trainer.global_step
        # the end of an epoch is left to the hooks below: a run that went on from here would skip them
        if not trainer.fit_loop.epoch_loop._is_training_done and not _validation_follows(trainer):
            self._write_or_stop(trainer, self._wish(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes, and stops if it is time to; a run that goes on from here begins with the validation.

        Not if the validation falls between accumulated gradients, which are in no checkpoint.
        """
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not _rehearsing(trainer)
        if fitting and not trainer.fit_loop._should_accumulate():
            self._before_validation = True
            self._write_or_stop(trainer, max(_SAVE, self._wish(trainer)))
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
        """Stops in the middle of a validation, if the checkpoint was written before it.

        Several processes could not agree here, because their numbers of batches differ: they go on until they are
        killed, or the validation is over.
        """
        written = trainer.state.fn == TrainerFn.FITTING and self._written_step == trainer.global_step
        if written and trainer.world_size == 1 and self._signals.received is not None:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes; the row of metrics that the trainer logs next counts as written, if the epoch is whole."""
        if not _rehearsing(trainer):
            whole = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
            self._rows_to_come = int(whole and bool(trainer._logger_connector.metrics["log"]))
            self._write(trainer)
            self._rows_to_come = 0

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes what belongs to the run beside its weights and states."""
        if self._before_validation:
            # what the trainer takes for a validation interrupted in its first batch, and runs again
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for counts in (progress["total"], progress["current"]):
                counts.update(ready=1, started=1, processed=0, completed=0)
        if trainer.is_global_zero:
            rows = next((logger.rows() for logger in trainer.loggers if isinstance(logger, MetricsTable)), 0)
            wandb_id = next((logger.version for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)
            CheckpointNotes(metrics_rows=rows + self._rows_to_come, wandb_id=wandb_id).write_to(checkpoint)

    def _wish(self, trainer: Trainer) -> int:
        """What this process would do now."""
        if self._signals.received is not None:
            return _STOP
        minutes = (time.monotonic() - self._written_at) / 60
        by_steps = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        by_time = self.every_minutes is not None and minutes >= self.every_minutes
        return _SAVE if by_steps or by_time else _GO_ON

    def _write_or_stop(self, trainer: Trainer, wish: int) -> None:
        """Does in all processes what one of them wishes."""
        wish = _agreed(trainer, wish)
        if wish != _GO_ON:
            self._write(trainer)
        if wish == _STOP:
            self._stop(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self._file is None:
            raise RuntimeError("a checkpoint was due before training started")
        trainer.save_checkpoint(self._file, weights_only=False)
        self._written_step, self._written_at = trainer.global_step, time.monotonic()

    def _stop(self, trainer: Trainer) -> None:
        """Ends this process.

        Raises:
            SIGTERMException: Always, with the exit status.
        """
        reason = self._signals.received or signal.SIGTERM
        rank_zero_info(
            f"Stopped by {reason.name} after optimizer step {trainer.global_step}; {self._file} is written. Go on with "
            "the same command and --ckpt_path last."
        )
        if self.requeue and trainer.is_global_zero:
            requeue_slurm_job()
        trainer.strategy.barrier()
        # the first process answers for all: its launcher would kill it if another one seemed to have failed
        raise SIGTERMException(128 + reason if trainer.is_global_zero else 0)


def _agreed(trainer: Trainer, wish: int) -> int:
    """The most that one of the processes wishes."""
    if trainer.world_size == 1:
        return wish
    wishes = torch.tensor(wish, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(wishes, reduce_op="max"))


def _validation_follows(trainer: Trainer) -> bool:
    """Whether there is a validation between this batch and the next."""
    loop = trainer.fit_loop
    if loop._data_fetcher is None:
        raise RuntimeError("a batch has ended, but nothing gave one")
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def _rehearsing(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined] # set at run time
