"""A data loader for evaluation clips that carries the evaluation set they are scored against."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.evaluation.cached_clips import CachedClips
from ost_lightning.evaluation.embedding_store import EmbeddingStore
from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.video import EvaluationClips, collate_clips
from ost_lightning.video.clips.interrupts import interrupts_blocked


class EvaluationLoader(DataLoader[Any]):
    """Yields a `ClipBatch`, an `EmbeddedBatch`, or the `UserError` that a worker raised.

    Workers start when the first batch is requested, because the embedding store is opened before that; or with
    `start_workers`.

    Attributes:
        set: Evaluation set that the videos are scored against.
        store: Store of cached embeddings; None without a cache.
        clips: Clips of the set, also if embeddings are cached.
        frames: Number of frames per clip.
        started: First pass, whose workers have started already; None if it has begun or none has started.

    Args:
        dataset: Clips of the set.
        set: Evaluation set that the videos are scored against.
        store: Store of cached embeddings; None without a cache.
        started: First pass, if workers of a loader with the same arguments have started already.
        options: Other arguments of `torch.utils.data.DataLoader`; Lightning recreates the loader from these for
            predictions.
    """

    def __init__(
        self,
        dataset: EvaluationClips | CachedClips,
        *,
        set: EvaluationSet,  # must have the attribute's name for Lightning to recreate the loader
        store: EmbeddingStore | None = None,
        started: Iterator[Any] | None = None,
        **options: Any,
    ) -> None:
        self.set, self.store, self.started = set, store, started
        self.clips = dataset.clips if isinstance(dataset, CachedClips) else dataset
        self.frames = self.clips.sampler.frames
        if isinstance(dataset, EvaluationClips) and store is not None:
            dataset = CachedClips(dataset, store)
        collate = dataset.collate if isinstance(dataset, CachedClips) else collate_clips
        super().__init__(dataset, **{"collate_fn": collate, **options})

    def start_workers(self) -> None:
        """Starts the workers of the first pass, which read ahead until its first batch is requested."""
        with interrupts_blocked(), torch.random.fork_rng(devices=[]):  # the loader draws a seed, which nothing uses
            self.started = super().__iter__()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a generator, so that workers don't start too early
        started, self.started = self.started, None
        if started is not None:
            # Lightning counts what it reads from this loader's sampler, but these workers have their own
            for _, batch in zip(self.batch_sampler or (), started, strict=True):
                yield batch
            return
        with interrupts_blocked():
            batches = super().__iter__()
        yield from batches


def evaluation_loaders(dataloaders: object) -> list[EvaluationLoader]:
    """Checks the loaders of an evaluation, and returns them as a list.

    Args:
        dataloaders: Loaders in the form that a trainer keeps them: a list, a single one, or None.

    Raises:
        UserError: If a loader doesn't carry an evaluation set.
    """
    loaders = dataloaders if isinstance(dataloaders, list | tuple) else [] if dataloaders is None else [dataloaders]
    for loader in loaders:
        if not isinstance(loader, EvaluationLoader):
            raise UserError(
                f"The evaluation got a {type(loader).__name__}, which doesn't define the classes that its videos are "
                "scored against: use one of the package's data modules, or an `EvaluationLoader`."
            )
    return list(loaders)


def evaluation_sets(dataloaders: object) -> list[EvaluationSet]:
    """Returns the evaluation sets of an evaluation's loaders; see `evaluation_loaders`."""
    return [loader.set for loader in evaluation_loaders(dataloaders)]
