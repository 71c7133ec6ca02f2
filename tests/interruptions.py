"""Callbacks that interrupt runs in tests at a chosen point of training."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.resuming import checkpoint_files

Moment = Literal["batch_start", "before_update", "batch_end", "validation", "epoch_end", "writing"]


class Interrupted(BaseException):
    """Stand-in for the end of the process in tests that run in one process."""


class InterruptAt(Callback):
    """Ends the process, or requests a stop, once.

    Args:
        moment: Point of the training step at which to interrupt.
        step: Number of optimizer steps before the interruption.
        how: Kind of interruption: a signal to this process, `raise` for an exception, or `stop` to ask the trainer to
            end training.
        rank: Rank of the process to interrupt.
    """

    def __init__(
        self,
        moment: Moment,
        step: int,
        how: Literal["SIGKILL", "SIGTERM", "SIGUSR1", "SIGINT", "raise", "stop"] = "raise",
        rank: int = 0,
    ) -> None:
        self.moment, self.step, self.how, self.rank = moment, step, how, rank
        self.trainer: Trainer | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trainer = trainer
        if self.moment == "writing":
            write = checkpoint_files._Writer.write

            def cut_short(writer: Any, data: bytes) -> int:
                if trainer.global_step >= self.step and len(data) > 1000:
                    write(writer, data[:1000])
                    writer._file.flush()
                    self._at("writing")
                return write(writer, data)

            checkpoint_files._Writer.write = cut_short

    def on_train_batch_start(self, *_: Any) -> None:
        self._at("batch_start")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self._at("before_update")

    def on_train_batch_end(self, *_: Any) -> None:
        self._at("batch_end")

    def on_validation_batch_start(self, *_: Any) -> None:
        self._at("validation")

    def on_train_epoch_end(self, *_: Any) -> None:
        self._at("epoch_end")

    def _at(self, moment: Moment) -> None:
        trainer = self.trainer
        if trainer is None or moment != self.moment or trainer.global_step < self.step:
            return
        if trainer.global_rank != self.rank:
            return
        self.trainer = None
        if self.how == "raise":
            raise Interrupted
        if self.how == "stop":
            trainer.should_stop = True
            return
        os.kill(os.getpid(), getattr(signal, self.how))


class FillDisk(Callback):
    """Fills a disk after a number of optimizer steps, except for some space.

    Args:
        file: File that takes up the space.
        step: Number of optimizer steps.
        free: Number of bytes that stay free.
    """

    def __init__(self, file: str, step: int, free: int) -> None:
        self.file, self.step, self.free = Path(file), step, free

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and not self.file.exists():
            self.file.write_bytes(bytes(shutil.disk_usage(self.file.parent).free - self.free))


class Dropout(Callback):
    """Enables dropout, so that every training step draws random numbers."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for tower in (pl_module.video_clip.encoder.model.vision_model, pl_module.video_clip.encoder.model.text_model):
            for layer in tower.encoder.layers:
                layer.self_attn.dropout = 0.1
