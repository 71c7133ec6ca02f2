"""Adapter to Lightning's training loop: everything that resuming needs and that has no public name."""

from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer

from ost_lightning.callbacks.private_names import private


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Point of training at which a checkpoint was written; both flags are false in the middle of an epoch.

    Attributes:
        between_epochs: Whether all batches of the epoch were done.
        ended_within_epoch: Whether training had ended, by a limit or a request, before the epoch's last batch.
    """

    between_epochs: bool = False
    ended_within_epoch: bool = False


def is_accumulating(trainer: Trainer) -> bool:
    """Returns whether gradients are still being accumulated after the last batch."""
    return bool(private(trainer.fit_loop, "_should_accumulate")())


def is_epoch_over(trainer: Trainer) -> bool:
    """Returns whether the batch that has just ended was the last one of the epoch or of the training."""
    return bool(private(trainer.fit_loop.epoch_loop, "_is_training_done"))


def is_epoch_complete(trainer: Trainer) -> bool:
    """Returns whether all batches of the epoch have been fetched."""
    return bool(private(trainer.fit_loop.epoch_loop, "_num_ready_batches_reached")())


def validation_follows(trainer: Trainer) -> bool:
    """Returns whether the trainer validates between the last batch and the next."""
    fetcher = private(trainer.fit_loop, "_data_fetcher")
    return bool(private(trainer.fit_loop.epoch_loop, "_should_check_val_fx")(fetcher))


def has_epoch_metrics(trainer: Trainer) -> bool:
    """Returns whether the trainer logs metrics at the end of the epoch."""
    return bool(private(trainer, "_logger_connector").metrics["log"])


def mark_validation_as_begun(checkpoint: dict[str, Any]) -> None:
    """Marks a validation as interrupted in its first batch in a checkpoint, so that the trainer repeats it."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        counts.update(ready=1, started=1, processed=0, completed=0)


def correct_epoch_progress(checkpoint: dict[str, Any]) -> ResumePoint:
    """Corrects the progress in a checkpoint that the trainer wrote while the epoch was only partly counted.

    Args:
        checkpoint: Contents before the trainer restores its progress from them; changed in place.

    Returns:
        Point of training at which the checkpoint was written, for `restore_loop` when training starts.
    """
    progress = checkpoint["loops"]["fit_loop"]
    epochs, batches = progress["epoch_progress"], progress["epoch_loop.batch_progress"]
    if epochs["current"]["ready"] != epochs["current"]["processed"] or batches["current"]["ready"] == 0:
        return ResumePoint()
    point = ResumePoint(batches["is_last_batch"], not batches["is_last_batch"])
    for counts in (epochs["total"], epochs["current"]):
        done = counts["ready"] - int(point.ended_within_epoch)
        counts.update(processed=done, completed=done)
    if point.between_epochs:
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
    return point


def restore_loop(point: ResumePoint, trainer: Trainer) -> None:
    """Corrects the state of a training loop that resumes at a point."""
    loop = trainer.fit_loop.epoch_loop
    if point.between_epochs:
        loop.restarting = False  # with `max_steps` the trainer treats every checkpoint as one within an epoch
    elif point.ended_within_epoch and validation_follows(trainer):
        # the trainer skips this validation, and counts its step twice
        loop._batches_that_stepped = private(loop, "_batches_that_stepped") - 1
