"""A loader of evaluation clips that says what they are scored against."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.evaluation.cached_clips import CachedClips
from ost_lightning.evaluation.embedding_store import EmbeddingStore
from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.video import EvaluationClips, collate_clips


class EvaluationLoader(DataLoader[Any]):
    """Yields a `ClipBatch`, an `EmbeddedBatch`, or the `UserError` that a worker ran into.

    No worker starts before the first batch is asked for: by then the embedding store has been opened.

    Attributes:
        set: What the videos are scored against.
        store: Embeddings that are known; None without a cache.

    Args:
        dataset: Clips of the set.
        set: As the attribute.
        store: As the attribute.
        options: Arguments of `torch.utils.data.DataLoader`. Lightning makes the loader anew for a prediction, from
            these arguments.
    """

    def __init__(
        self,
        dataset: EvaluationClips | CachedClips,
        *,
        set: EvaluationSet,  # the attribute's name: Lightning finds the argument by it
        store: EmbeddingStore | None = None,
        **options: Any,
    ) -> None:
        self.set, self.store = set, store
        if isinstance(dataset, EvaluationClips) and store is not None:
            dataset = CachedClips(dataset, store)
        collate = dataset.collate if isinstance(dataset, CachedClips) else collate_clips
        super().__init__(dataset, **{"collate_fn": collate, **options})

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a generator, so that nothing starts too early
        yield from super().__iter__()


def evaluation_loaders(given: object) -> list[EvaluationLoader]:
    """The loaders of an evaluation, checked.

    Args:
        given: Loaders as a trainer has them: several, one, or none.

    Raises:
        UserError: If a loader doesn't say what its videos are scored against.
    """
    loaders = given if isinstance(given, list | tuple) else [] if given is None else [given]
    for loader in loaders:
        if not isinstance(loader, EvaluationLoader):
            raise UserError(
                f"The evaluation has a {type(loader).__name__}, which doesn't say which classes its videos are scored "
                "against. Give the trainer one of the package's data modules, or an `EvaluationLoader`."
            )
    return list(loaders)


def evaluation_sets(given: object) -> list[EvaluationSet]:
    """The sets that the loaders of an evaluation are for; see `evaluation_loaders`."""
    return [loader.set for loader in evaluation_loaders(given)]
