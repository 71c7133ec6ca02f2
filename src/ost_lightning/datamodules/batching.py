"""Division of the global batch over processes and accumulation steps."""

from dataclasses import dataclass
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.vocabulary import counted

_USUAL_BATCH: Final = 32
"""Global batch if none is set."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Division of a global batch over processes and forward passes.

    Attributes:
        devices: Number of processes.
        device_batch: Number of videos per process and forward pass.
        accumulation: Number of forward passes per optimizer step.
    """

    devices: int
    device_batch: int
    accumulation: int

    @property
    def total(self) -> int:
        """Number of videos per optimizer step."""
        return self.devices * self.device_batch * self.accumulation

    def __str__(self) -> str:
        factors = ((self.devices, "device"), (self.device_batch, "video"), (self.accumulation, "accumulation step"))
        return f"global batch of {self.total:,} = {' x '.join(counted(*factor) for factor in factors)}"


def plan_batches(global_batch_size: int, devices: int, max_videos_per_device: int | None) -> BatchPlan:
    """Divides the global batch over processes and accumulation steps.

    Args:
        global_batch_size: Number of videos per optimizer step.
        devices: Number of processes.
        max_videos_per_device: Number of videos that fit into one device's memory; None for no limit.

    Raises:
        UserError: If the numbers are not divisible; the message names numbers that are.
    """
    if global_batch_size < 1 or (max_videos_per_device is not None and max_videos_per_device < 1):
        raise UserError(
            f"global_batch_size ({global_batch_size}) and max_videos_per_device ({max_videos_per_device}) must be "
            "at least 1."
        )
    if global_batch_size % devices:
        lower = global_batch_size // devices * devices
        choices = f"{lower} or {lower + devices}" if lower else f"{devices}"
        raise UserError(
            f"A global batch of {global_batch_size} videos can't be divided evenly over {devices} devices: set "
            f"loading.global_batch_size to {choices}."
        )
    share = global_batch_size // devices
    if max_videos_per_device is None or share <= max_videos_per_device:
        return BatchPlan(devices, share, 1)
    if share % max_videos_per_device:
        fitting = (
            max(size for size in range(1, max_videos_per_device) if share % size == 0)
            if max_videos_per_device > 1
            else 1
        )
        raise UserError(
            f"A global batch of {global_batch_size} videos gives {share} to each of {devices} devices, which is "
            f"not a multiple of max_videos_per_device ({max_videos_per_device}): set it to {fitting}, or "
            f"loading.global_batch_size to {devices * max_videos_per_device * (share // max_videos_per_device)}."
        )
    return BatchPlan(devices, max_videos_per_device, share // max_videos_per_device)


def choose_batches(videos: int, devices: int, max_videos_per_device: int | None) -> BatchPlan:
    """Chooses a global batch for a training set: 32 videos, or nearly all of a smaller set.

    A few videos per epoch are left out where the batch would otherwise fall into tiny forward passes.

    Args:
        videos: Number of training videos.
        devices: Number of processes.
        max_videos_per_device: Number of videos that fit into one device's memory; None for no limit.

    Raises:
        UserError: If there are fewer videos than devices.
    """
    for share in range(min(videos, max(_USUAL_BATCH, devices)) // devices, 0, -1):
        largest = min(share, max_videos_per_device or share)
        fitting = next(size for size in range(largest, 0, -1) if share % size == 0)
        if 2 * fitting >= largest:
            return BatchPlan(devices, fitting, share // fitting)
    raise UserError(f"The training set has {videos} videos, fewer than the {devices} devices. Train on fewer devices.")
