"""A loader of training batches that can go on in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.video import ClipBatch, TrainingClips, TrainingSampler, collate_clips


@dataclass
class TrainingPosition:
    """How far training has come.

    Attributes:
        epoch: Pass over the data.
        batches: Batches of it that have been given to the trainer.
        batches_per_epoch: Batches of a whole pass, as this process counts them.
    """

    epoch: int = 0
    batches: int = 0
    batches_per_epoch: int = 0

    def state(self) -> dict[str, int]:
        """For a checkpoint."""
        return asdict(self)

    def restore(self, state: dict[str, int]) -> None:
        """Goes to where a checkpoint was written."""
        self.__dict__.update(type(self)(**state).__dict__)

    def batches_to_skip(self, epoch: int, batches_per_epoch: int) -> int:
        """Batches of an epoch that have been trained on before.

        Raises:
            UserError: If the epoch was begun with another division into batches.
        """
        if epoch != self.epoch or self.batches == 0:
            return 0
        if self.batches < self.batches_per_epoch != batches_per_epoch:
            raise UserError(
                f"The checkpoint was written after {self.batches} of {self.batches_per_epoch} batches of epoch {epoch},"
                f" but this run divides an epoch into {batches_per_epoch}. Go on with the same videos, "
                "loading.global_batch_size and product of devices and loading.max_videos_per_device, or from a "
                "checkpoint of the end of an epoch."
            )
        return self.batches


class TrainingLoader(DataLoader[Any]):
    """Yields a `ClipBatch` for each micro-batch, or a tuple of all those of an optimiser step.

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

    def state_dict(self) -> dict[str, int]:
        """The position, which the data module keeps too; having this tells the trainer that it need not warn."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes there."""
        self._position.restore(state_dict)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a generator, so that nothing starts too early
        position, epoch = self._position, self._order.epoch
        done = position.batches_to_skip(epoch, len(self))
        self._order.skip(done * self._group * self._videos)
        position.restore({"epoch": epoch, "batches": done, "batches_per_epoch": len(self)})
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
