"""Learning-rate schedules, as fractions of the peak learning rate."""

import math
from typing import Literal

from lightning.pytorch import Trainer

from ost_lightning.errors import UserError

Schedule = Literal["cosine_after_warmup", "timm_cosine", "slowfast_cosine", "constant"]


def learning_rate_factor(
    schedule: Schedule,
    step: int,
    total: int,
    warmup_fraction: float,
    floor: float = 0.01,
    warmup_start: float = 0.0,
) -> float:
    """Returns the fraction of the peak learning rate at one step.

    All rise linearly during warm-up. `cosine_after_warmup` rises to the peak, and then follows a cosine to the floor.
    `timm_cosine` is the schedule of OST and ViFi-CLIP (timm's cosine without `warmup_prefix`). Its cosine spans all of
    training, so the rate drops abruptly when warm-up ends: to about half in the zero-shot recipe, after 5 of 10 epochs.
    `slowfast_cosine` (PySlowFast's) has the same cosine, but rises only to its value at the end of warm-up, so that
    nothing jumps. `constant` stays at the peak.

    Args:
        schedule: Name of the schedule.
        step: Number of completed optimizer steps.
        total: Number of optimizer steps of the training run.
        warmup_fraction: Fraction of training that is warm-up, 0 to 1.
        floor: Fraction of the peak at the end, 0 to 1.
        warmup_start: Fraction of the peak at the first step of warm-up, 0 to 1.
    """
    rising = warmup_fraction * total
    if step < rising:
        highest = _cosine(warmup_fraction, floor) if schedule == "slowfast_cosine" else 1.0
        return warmup_start + (highest - warmup_start) * step / rising
    if schedule == "constant":
        return 1.0
    start = rising if schedule == "cosine_after_warmup" else 0.0
    progress = (step - start) / (total - start) if total > start else 1.0
    return _cosine(progress, floor)


def held_step(step: int, steps_of_epoch: int, every: int) -> int:
    """Returns the step whose learning rate is used, if the rate is set only at some steps of each epoch.

    These are the first one and each one that completes `every` steps: 0, 9, 19, ... for 10, as in TACO.

    Args:
        step: Number of completed optimizer steps.
        steps_of_epoch: Number of optimizer steps of an epoch.
        every: Number of steps for which a rate is held; 1 for a new rate at every step.
    """
    within = step % steps_of_epoch
    return step - within + max(0, (within + 1) // every * every - 1)


def steps_of_epoch(trainer: Trainer) -> int:
    """Returns the number of optimizer steps of an epoch; that of the whole training if epochs have no known length."""
    batches = trainer.num_training_batches
    if math.isinf(batches):
        return max(1, total_steps(trainer))
    return max(1, math.ceil(batches / trainer.accumulate_grad_batches))


def _cosine(progress: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(progress, 1))) / 2


def total_steps(trainer: Trainer) -> int:
    """Returns the number of optimizer steps of a training run, which a schedule needs.

    Raises:
        UserError: If the number of steps is unlimited.
    """
    total = trainer.estimated_stepping_batches
    if math.isinf(total):
        raise UserError(
            f"The learning-rate schedule needs a last step, but trainer.max_epochs is {trainer.max_epochs} and "
            f"trainer.max_steps is {trainer.max_steps}: set one of them to a positive number. trainer.max_time may "
            "still end training earlier."
        )
    return int(total)
