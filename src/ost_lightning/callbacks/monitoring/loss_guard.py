"""Stops a training whose loss is no number any more, while it can still be told why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors.torch import save_file
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.video import ClipBatch


@dataclass(frozen=True, slots=True)
class _Step:
    """A step whose loss is on its way to the host."""

    number: int
    parts: tuple[ClipBatch, ...]
    loss: Tensor
    arrived: torch.cuda.Event | None


class NonFiniteLossGuard(Callback):
    """Looks at the loss of every step, one step late on an accelerator, so that its queue never runs empty.

    A loss that is not finite stops the run with the ids of the videos; the batch itself is saved in the run's folder as
    `nonfinite-step{n}-{process}.safetensors` (frames uint8, labels; ids in its metadata). The weights may be ruined by
    then, the last checkpoint is not: no validation begins and no checkpoint is written before all steps were looked at.
    """

    def __init__(self) -> None:
        self._last: _Step | None = None
        self._folder = Path()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learns the folder while all processes are there to agree on it: a loss may be wrong in one of them only."""
        self._folder = Path(trainer.log_dir or ".")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Sends this step's loss to the host and looks at the one before."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        self._look(trainer)
        parts = batch if isinstance(batch, tuple) else (batch,)
        self._last = _sent(loss.detach(), parts, trainer.global_step)
        if self._last.arrived is None:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the last step."""
        self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the last step."""
        self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Looks at the last step: what one process's loss has ruined, no process writes.

        Raises:
            UserError: If the loss of another process is not finite.
        """
        step = self._not_finite()
        finite_everywhere = trainer.strategy.reduce_boolean_decision(step is None)
        if step is not None:
            self._stop(trainer, step)
        if not finite_everywhere:
            raise UserError(f"The loss of another process is no number after step {trainer.global_step}: it tells why.")

    def _look(self, trainer: Trainer) -> None:
        step = self._not_finite()
        if step is not None:
            self._stop(trainer, step)

    def _not_finite(self) -> _Step | None:
        """The step on its way, once it is there, if its loss is not finite."""
        step, self._last = self._last, None
        if step is None:
            return None
        if step.arrived is not None:
            step.arrived.synchronize()
        return None if bool(torch.isfinite(step.loss).all()) else step

    def _stop(self, trainer: Trainer, step: _Step) -> NoReturn:
        file = self._folder / f"nonfinite-step{step.number}-{trainer.global_rank}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        ids = [id_ for part in step.parts for id_ in part.ids]
        frames = torch.cat([part.frames.cpu() for part in step.parts])
        labels = torch.cat([part.labels.cpu() for part in step.parts])
        save_file({"frames": frames, "labels": labels}, file, metadata={"ids": "\n".join(ids)})
        raise UserError(
            f"The loss is {float(step.loss):g} after step {step.number}, with the videos {', '.join(ids)} "
            f"(saved as {file}). Lower the learning rate, clip gradients (--trainer.gradient_clip_val 1), or train in "
            f"full precision (--trainer.precision 32)."
        )


def _sent(loss: Tensor, parts: tuple[ClipBatch, ...], number: int) -> _Step:
    """Starts the copy; nobody waits for it."""
    if loss.device.type != "cuda":
        return _Step(number, parts, loss, None)
    arrived = torch.cuda.Event()
    copy = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
    arrived.record()
    return _Step(number, parts, copy, arrived)
