"""Checks of Lightning's trainer: no samplers of its own, and accumulation that follows the batch sizes."""

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.datamodules.batching import BatchPlan
from ost_lightning.errors import UserError
from ost_lightning.vocabulary import counted


def validate_samplers(trainer: Trainer | None) -> None:
    """Checks that Lightning does not replace the samplers of the data module.

    Raises:
        UserError: If the trainer would replace one.
    """
    if trainer is None:
        return
    overfit = trainer.overfit_batches  # type: ignore[attr-defined] # set at run time
    if overfit:
        raise UserError(
            f"trainer.overfit_batches is {overfit}, which would replace the data module's sampler by one of "
            "Lightning's. Unset it; to overfit a few videos, list only those for training, and set "
            "loading.global_batch_size to their number."
        )
    # only this private attribute has the value; tested with lightning 2.6
    if trainer._accelerator_connector.use_distributed_sampler and trainer.world_size > 1:
        raise UserError(
            "The data modules shard the data themselves: set trainer.use_distributed_sampler to false "
            "(Lightning's sampler would shard again)."
        )


def check_batch_size(videos: int, global_batch_size: int) -> None:
    """Checks that a training set fills at least one batch.

    Raises:
        UserError: If it has too few videos.
    """
    if videos < global_batch_size:
        raise UserError(
            f"The training set has {counted(videos, 'video')}, fewer than loading.global_batch_size "
            f"({global_batch_size}). Set --data.loading.global_batch_size to {videos} or less."
        )


def set_accumulation(trainer: Trainer | None, plan: BatchPlan, videos: int, *, whole_steps: bool) -> None:
    """Sets the trainer's accumulation to the number of micro-batches that follows from the batch sizes.

    Args:
        trainer: Trainer to set; None outside of a run.
        plan: Division of the global batch.
        videos: Number of training videos.
        whole_steps: Whether the task accumulates gradients itself.

    Raises:
        UserError: If there are too few videos, or the trainer is set to another accumulation.
    """
    check_batch_size(videos, plan.total)
    if trainer is None:
        return
    if trainer.accumulate_grad_batches not in (1, plan.accumulation):
        raise UserError(
            f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}, but the accumulation follows from "
            f"the batch sizes ({plan}). Unset it, and set loading.global_batch_size and "
            "loading.max_videos_per_device."
        )
    trainer.accumulate_grad_batches = 1 if whole_steps else plan.accumulation
    rank_zero_info(f"{plan}")
