"""Callbacks for runs that are interrupted in tests, at a chosen point of the training."""

import os
import signal
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.resuming import checkpoint_files

Moment = Literal["batch_start", "before_update", "batch_end", "validation", "epoch_end", "writing"]


class Interrupted(BaseException):
    """Stands for the end of the process where a test stays in its own."""


class InterruptAt(Callback):
    """Ends the process, or tells it to stop, once.

    Args:
        moment: Where in the training.
        step: Optimizer steps done by then.
        how: SIGKILL and SIGTERM are sent to this process; `raise` leaves the trainer by an exception; `stop` asks the
            trainer to end the training.
        rank: The process that is interrupted.
    """

    def __init__(
        self,
        moment: Moment,
        step: int,
        how: Literal["SIGKILL", "SIGTERM", "SIGUSR1", "raise", "stop"] = "raise",
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


class Dropout(Callback):
    """Gives the model something to draw at every step."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for tower in (pl_module.video_clip.encoder.model.vision_model, pl_module.video_clip.encoder.model.text_model):
            for layer in tower.encoder.layers:
                layer.self_attn.dropout = 0.1


class WriteDown(Callback):
    """Writes the ids of every training batch to a file of each process."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        with Path(f"seen-{trainer.global_rank}.txt").open("a") as file:
            for part in batch if isinstance(batch, tuple) else (batch,):
                file.write(f"{trainer.current_epoch} {batch_idx} {' '.join(part.ids)}\n")
