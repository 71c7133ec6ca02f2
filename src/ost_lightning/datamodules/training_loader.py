"""A loader of training batches that can go on in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final, Literal

from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.video import ClipBatch, TrainingClips, TrainingSampler, collate_clips

_TOLD: Final = {
    "batches": "batches per epoch",
    "videos": "training videos",
    "global_batch_size": "loading.global_batch_size",
    "seed": "the seed",
}


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """What decides which videos are in which batch of an epoch.

    Attributes:
        batches: Of an epoch, as this process counts them.
        videos: Of the training set.
        global_batch_size: Videos of an optimizer step.
        seed: Of the order, and of what is drawn for a video.
    """

    batches: int
    videos: int
    global_batch_size: int
    seed: int


@dataclass
class TrainingPosition:
    """How far training has come.

    Attributes:
        epoch: Pass over the data.
        batches: Batches of it that have been given to the trainer.
        plan: Of the pass; None before the first one, and where it is not known.
    """

    epoch: int = 0
    batches: int = 0
    plan: EpochPlan | None = None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Goes to where a checkpoint was written."""
        plan = state.get("plan")  # earlier checkpoints have none
        self.epoch, self.batches = state["epoch"], state["batches"]
        self.plan = EpochPlan(**plan) if plan is not None else None

    def begin(self, epoch: int, plan: EpochPlan) -> None:
        """Goes to the beginning of an epoch, or on in the one that it is in.

        Raises:
            UserError: If that one was begun with another plan.
        """
        if epoch != self.epoch:
            self.batches = 0
        elif self.plan is not None and 0 < self.batches < self.plan.batches and self.plan != plan:
            before, now = asdict(self.plan), asdict(plan)
            changed = (name for name, value in now.items() if value != before[name])
            told = ", ".join(f"{_TOLD[name]} {now[name]} instead of {before[name]}" for name in changed)
            raise UserError(
                f"The checkpoint was written after {self.batches} of {self.plan.batches} batches of epoch {epoch}, and "
                f"this run has {told}. Go on with the same videos, loading.global_batch_size, loading.seed and product "
                "of devices and loading.max_videos_per_device, or from a checkpoint of the end of an epoch."
            )
        self.epoch, self.plan = epoch, plan


class TrainingLoader(DataLoader[Any]):
    """Yields a `ClipBatch` for each micro-batch, or a tuple of all those of an optimizer step.

    No worker starts before the first batch is asked for: only then has the trainer set the epoch and restored the
    position.

    Args:
        dataset: Clips.
        sampler: Their order.
        batch_size: Videos of a micro-batch on this device.
        micro_batches: How many the trainer takes at a time; 1 gives them singly.
        position: How far training has come; kept up to date while batches are given out.
        workers: Loading processes.
        start_method: How they start; None is the platform's way.
        pin_memory: Load into page-locked memory.
    """

    def __init__(
        self,
        dataset: TrainingClips,
        sampler: TrainingSampler,
        batch_size: int,
        *,
        micro_batches: int,
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
        self._order, self._videos, self._group, self._position = sampler, batch_size, micro_batches, position

    def __len__(self) -> int:
        return super().__len__() // self._group

    def state_dict(self) -> dict[str, Any]:
        """The position, which the data module keeps too; having this tells the trainer that it need not warn."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes there."""
        self._position.restore(state_dict)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a generator, so that nothing starts too early
        position, order = self._position, self._order
        position.begin(order.epoch, EpochPlan(len(self), order.size, order.batch_size, order.seed))
        order.skip(position.batches * self._group * self._videos)
        batches = super().__iter__()
        while group := tuple(islice(batches, self._group)):
            position.batches += 1
            yield _as_step(group) if self._group > 1 else group[0]


def _as_step(group: Sequence[ClipBatch | UserError]) -> tuple[ClipBatch, ...] | UserError:
    good: list[ClipBatch] = []
    for part in group:
        if isinstance(part, UserError):
            return part
        good.append(part)
    return tuple(good)
