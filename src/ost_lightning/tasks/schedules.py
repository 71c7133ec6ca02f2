"""Learning-rate schedules, as factors of the peak."""

import math
from typing import Literal

from lightning.pytorch import Trainer

from ost_lightning.errors import UserError

Schedule = Literal["cosine_after_warmup", "timm_cosine"]


def learning_rate_factor(
    schedule: Schedule, step: int, total: int, warmup_fraction: float, floor: float = 0.01
) -> float:
    """Share of the peak learning rate at one step.

    `cosine_after_warmup` rises linearly from 0 over the warm-up and falls as a cosine from the peak to the floor.
    `timm_cosine` is what OST and ViFi-CLIP ran (timm's cosine without `warmup_prefix`): the cosine spans the whole
    training, so that the rate drops at once when the warm-up ends (to about half for the 5 of 10 epochs of the
    zero-shot recipe).

    Args:
        schedule: Name of the schedule.
        step: Number of optimizer steps done.
        total: Number of optimizer steps of the training.
        warmup_fraction: Share of the training that is warm-up, 0 to 1.
        floor: Share of the peak at the end.
    """
    rising = warmup_fraction * total
    if step < rising:
        return step / rising
    start = 0.0 if schedule == "timm_cosine" else rising
    progress = (step - start) / (total - start) if total > start else 1.0
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(progress, 1))) / 2


def total_steps(trainer: Trainer) -> int:
    """Number of optimizer steps of a training, which a schedule leads to.

    Raises:
        UserError: If the training has no last step.
    """
    total = trainer.estimated_stepping_batches
    if math.isinf(total):
        raise UserError(
            f"The learning rate's schedule needs an end, but trainer.max_epochs is {trainer.max_epochs} and "
            f"trainer.max_steps {trainer.max_steps}: set one of them to a positive number. "
            "trainer.max_time may end the training before."
        )
    return int(total)
