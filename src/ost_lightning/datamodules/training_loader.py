"""Loader of training batches that can resume in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, Literal

import torch
from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipGeometry
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch, TrainingClips, TrainingSampler, TrainingTransform, collate_clips
from ost_lightning.video.clips.interrupts import interrupts_blocked

_NAMES: Final = {
    "batches": "batches per epoch",
    "videos": "training videos",
    "global_batch_size": "loading.global_batch_size",
    "seed": "the seed",
}


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Settings that determine which videos are in which batch of an epoch.

    Attributes:
        batches: Number of batches per epoch in this process.
        videos: Number of training videos.
        global_batch_size: Number of videos per optimizer step.
        seed: Seed for the order of videos and the random draws per video.
    """

    batches: int
    videos: int
    global_batch_size: int
    seed: int


@dataclass
class TrainingPosition:
    """Training progress.

    Attributes:
        epoch: Index of the current epoch, from 0.
        batches: Number of its batches already yielded to the trainer.
        plan: Plan of the epoch; None before the first one, and if unknown.
    """

    epoch: int = 0
    batches: int = 0
    plan: EpochPlan | None = None

    def state(self) -> dict[str, Any]:
        """Returns the position in the form that checkpoints store."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Restores the position from a checkpoint."""
        plan = state.get("plan")  # absent in earlier checkpoints
        self.epoch, self.batches = state["epoch"], state["batches"]
        self.plan = EpochPlan(**plan) if plan is not None else None

    def step_seed(self, seed: int, rank: int) -> int:
        """Returns the seed for the random draws of the next training step, independent of earlier draws.

        Args:
            seed: Seed of the training.
            rank: Rank of the process; draws differ between processes.
        """
        step = f"{seed}/{self.epoch}/{self.batches}/{rank}"
        return int.from_bytes(blake2b(step.encode(), digest_size=8).digest())

    def begin(self, epoch: int, plan: EpochPlan) -> None:
        """Begins an epoch, or continues the current one.

        Raises:
            UserError: If the current epoch is unfinished and began with another plan.
        """
        if epoch != self.epoch:
            self.batches = 0
        elif self.plan is not None and 0 < self.batches < self.plan.batches and self.plan != plan:
            before, now = asdict(self.plan), asdict(plan)
            changed = (name for name, value in now.items() if value != before[name])
            changes = ", ".join(f"{_NAMES[name]} {now[name]} instead of {before[name]}" for name in changed)
            raise UserError(
                f"The checkpoint was written after {self.batches} of {self.plan.batches} batches of epoch {epoch}, but "
                f"this run has {changes}. Resume with the same videos, loading.global_batch_size, loading.seed and "
                "product of devices and loading.max_videos_per_device, or from a checkpoint at the end of an epoch."
            )
        self.epoch, self.plan = epoch, plan


class TrainingLoader(DataLoader[Any]):
    """Yields a `ClipBatch` per micro-batch, or a tuple of all micro-batches of an optimizer step.

    Workers start with the request for the first batch: only then has the trainer set the epoch and restored the
    position. `start_workers` starts them earlier, for a training that begins at its first epoch.

    Attributes:
        labels: Classes of the training videos.
        geometry: Settings of the clips.
        transform: Augmentation of the clips.
        whole_steps: Number of micro-batches to yield together as a tuple; None to yield them one by one.

    Args:
        dataset: Training clips.
        sampler: Sampler that orders the clips.
        batch_size: Number of videos per micro-batch on this device.
        labels: Classes of the training videos.
        geometry: Settings of the clips.
        transform: Augmentation of the clips.
        position: Training progress, updated with every yielded batch.
        workers: Number of loading processes.
        start_method: Start method of the loading processes; None for the platform's default.
        pin_memory: Whether to load into page-locked memory.
    """

    def __init__(
        self,
        dataset: TrainingClips,
        sampler: TrainingSampler,
        batch_size: int,
        *,
        labels: LabelSpace,
        geometry: ClipGeometry,
        transform: TrainingTransform,
        position: TrainingPosition,
        workers: int,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        pin_memory: bool,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate_clips,
            num_workers=workers,
            multiprocessing_context=start_method if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
        )
        self.labels, self.geometry, self.transform = labels, geometry, transform
        self.whole_steps: int | None = None
        self._order, self._videos, self._position = sampler, batch_size, position
        self._started: Iterator[Any] | None = None

    def __len__(self) -> int:
        return super().__len__() // (self.whole_steps or 1)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position. The data module saves it too, but Lightning warns about loaders without a state."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the position."""
        self._position.restore(state_dict)

    def start_workers(self) -> None:
        """Starts the workers, which read ahead the first batches of the first epoch."""
        with interrupts_blocked(), torch.random.fork_rng(devices=[]):  # the loader draws a seed, which nothing uses
            self._started = super().__iter__()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a generator, so that nothing starts too early
        position, order, together = self._position, self._order, self.whole_steps or 1
        position.begin(order.epoch, EpochPlan(len(self), order.size, order.batch_size, order.seed))
        batches, self._started = self._started, None
        if batches is None or (position.epoch, position.batches) != (0, 0):
            order.skip(position.batches * together * self._videos)
            with interrupts_blocked():
                batches = super().__iter__()
        while group := tuple(islice(batches, together)):
            position.batches += 1
            yield group[0] if self.whole_steps is None else _as_step(group)


def _as_step(group: Sequence[ClipBatch | UserError]) -> tuple[ClipBatch, ...] | UserError:
    good: list[ClipBatch] = []
    for part in group:
        if isinstance(part, UserError):
            return part
        good.append(part)
    return tuple(good)
