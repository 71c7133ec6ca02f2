"""Stops training at the first non-finite loss and saves the offending batch."""

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
    """Training step whose loss is being copied to the host."""

    number: int
    parts: tuple[ClipBatch, ...]
    loss: Tensor
    arrived: torch.cuda.Event | None


class NonFiniteLossGuard(Callback):
    """Checks the loss of every step; on an accelerator one step late, so that its queue never runs empty.

    At a non-finite loss it stops the run with an error that lists the videos. The batch is saved in the run's folder as
    `nonfinite-step{n}-{process}.safetensors` (frames uint8, labels; ids in its metadata). By then the weights may be
    corrupted, but the last checkpoint is intact, because losses are checked before every checkpoint.
    """

    def __init__(self) -> None:
        self._last: _Step | None = None
        self._folder = Path()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks up the run's folder now, because all processes have to agree on it, and later only one may need it."""
        self._folder = Path(trainer.log_dir or ".")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Starts copying this step's loss to the host, and checks the previous step's."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        self._check(trainer)
        parts = batch if isinstance(batch, tuple) else (batch,)
        self._last = _copy_to_host(loss.detach(), parts, trainer.global_step)
        if self._last.arrived is None:
            self._check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the last step."""
        self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the last step."""
        self._check(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Checks the last step in all processes, so that no process saves weights corrupted by another's loss.

        Raises:
            UserError: If the loss of any process is not finite.
        """
        step = self._take_non_finite()
        finite_everywhere = trainer.strategy.reduce_boolean_decision(step is None)
        if step is not None:
            self._stop(trainer, step)
        if not finite_everywhere:
            raise UserError(f"Another process hit a non-finite loss after step {trainer.global_step}; see its error.")

    def _check(self, trainer: Trainer) -> None:
        step = self._take_non_finite()
        if step is not None:
            self._stop(trainer, step)

    def _take_non_finite(self) -> _Step | None:
        """Waits for the copy, and returns the last unchecked step if its loss is not finite; None otherwise."""
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
            f"The loss is {float(step.loss):g} after step {step.number}, for the videos {', '.join(ids)} "
            f"(batch saved as {file}). Lower the learning rate, clip gradients (--trainer.gradient_clip_val 1), or "
            f"train in full precision (--trainer.precision 32)."
        )


def _copy_to_host(loss: Tensor, parts: tuple[ClipBatch, ...], number: int) -> _Step:
    """Starts copying a loss to the host without waiting for it."""
    if loss.device.type != "cuda":
        return _Step(number, parts, loss, None)
    arrived = torch.cuda.Event()
    copy = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
    arrived.record()
    return _Step(number, parts, copy, arrived)
