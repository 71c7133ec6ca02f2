"""What a data module asks of Lightning's trainer: no samplers of its own, and the right accumulation."""

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.datamodules.batching import BatchPlan
from ost_lightning.errors import UserError


def refuse_lightning_samplers(trainer: Trainer | None) -> None:
    """Checks that Lightning leaves the samplers alone.

    Raises:
        UserError: If the trainer would replace one.
    """
    if trainer is None:
        return
    overfit = trainer.overfit_batches  # type: ignore[attr-defined] # set at run time
    if overfit:
        raise UserError(
            f"trainer.overfit_batches is {overfit}, which would put a sampler of Lightning's in place of the data "
            "module's. Leave it out; to learn a few videos by heart, list these alone for training, and set "
            "loading.global_batch_size to their number."
        )
    # the only place that knows it; tested with lightning 2.6
    if trainer._accelerator_connector.use_distributed_sampler and trainer.world_size > 1:
        raise UserError(
            "The data modules shard exactly by themselves: set trainer.use_distributed_sampler to false "
            "(Lightning's sampler would shard again)."
        )


def set_accumulation(trainer: Trainer | None, plan: BatchPlan, videos: int, *, whole_steps: bool) -> None:
    """Lets the trainer accumulate as many micro-batches as the batch sizes say.

    Args:
        trainer: The trainer, if there is one.
        plan: Division of the global batch.
        videos: Number of training videos.
        whole_steps: Whether the task accumulates by itself.

    Raises:
        UserError: If there are too few videos, or the trainer has another accumulation.
    """
    if videos < plan.total:
        raise UserError(
            f"The training set has {videos} videos, fewer than loading.global_batch_size ({plan.total}): lower it."
        )
    if trainer is None:
        return
    if trainer.accumulate_grad_batches not in (1, plan.accumulation):
        raise UserError(
            f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}, but the accumulation follows from "
            f"the batch sizes ({plan}): leave it out, and set loading.global_batch_size and "
            "loading.max_videos_per_device."
        )
    trainer.accumulate_grad_batches = 1 if whole_steps else plan.accumulation
    rank_zero_info(f"{plan}")
