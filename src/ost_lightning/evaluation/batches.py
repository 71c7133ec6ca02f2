"""Batches on their way through an evaluation: pixels, embeddings, probabilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.models import FrameEmbeddings
from ost_lightning.video import ClipBatch, ReadFailure
from ost_lightning.video.annotations import Span


@dataclass(slots=True, repr=False)
class KeyedClipBatch(ClipBatch):
    """Clips whose embeddings will be stored once they are known.

    Attributes:
        keys: Key of each clip in the embedding store; empty for a clip that can't be stored.
    """

    keys: tuple[str, ...] = ()


class EmbeddedBatch:
    """Videos as frame embeddings, without pixels.

    This is no dataclass on purpose: Lightning converts the tensors of a dataclass to the run's precision, and
    embeddings would be rounded once more.

    Attributes:
        embeddings: Frame embeddings fp32 (B', V, T, d) of the B' readable videos, by the name of the set of weights.
        labels: int64 (B,), labels of all videos.
        decoded: bool (B,), False for unreadable videos; stays in host memory.
        ids: B record ids.
        failures: Failures of the unreadable videos, in their order.
        spans: B starts and ends of the records.
    """

    def __init__(
        self,
        embeddings: Mapping[str, FrameEmbeddings],
        labels: Tensor,
        decoded: Tensor,
        ids: tuple[str, ...],
        failures: tuple[ReadFailure, ...] = (),
        spans: tuple[Span, ...] = (),
    ) -> None:
        readable = int(decoded.sum())
        wrong = {
            weights: tuple(embedded.shape)
            for weights, embedded in embeddings.items()
            if embedded.ndim != 4 or len(embedded) != readable
        }
        if wrong or not len(ids) == len(labels) == len(decoded):
            raise ValueError(
                f"not a batch of embedded videos: embeddings {wrong or 'as expected'}, labels {tuple(labels.shape)}, "
                f"decoded {tuple(decoded.shape)} with {readable} readable, {len(ids)} ids"
            )
        self.embeddings = dict(embeddings)
        self.labels, self.decoded, self.ids = labels, decoded, ids
        self.failures, self.spans = failures, spans

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shapes = {weights: tuple(embedded.shape) for weights, embedded in self.embeddings.items()}
        return f"{type(self).__name__}({len(self)} videos, embeddings {shapes}, {len(self.failures)} failures)"

    @property
    def readable_labels(self) -> Tensor:
        """int64 (B',), labels of the readable videos."""
        if bool(self.decoded.all()):  # no wait for the device, where a mask would need one
            return self.labels
        return self.labels[self.decoded.to(self.labels.device)]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Copies embeddings and labels to a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copies embeddings and labels to page-locked memory; the loader calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        embeddings = {weights: change(embedded) for weights, embedded in self.embeddings.items()}
        return type(self)(embeddings, change(self.labels), self.decoded, self.ids, self.failures, self.spans)


SCORED: Final = "scored"
"""Key of a `ScoredBatch` in what a validation or test step returns."""

EvaluationBatch = ClipBatch | EmbeddedBatch
"""What an evaluation loader yields."""


@dataclass(frozen=True, slots=True, repr=False)
class ScoredBatch:
    """What an evaluation found out about one batch.

    Attributes:
        set: Evaluation set of the videos.
        videos: The videos with their frame embeddings by all sets of weights that scored them.
        probabilities: fp32 (B', K) of the B' readable videos, by the name of the scorer; views are averaged.
    """

    set: EvaluationSet
    videos: EmbeddedBatch
    probabilities: Mapping[str, Tensor]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.set.name}, {self.videos!r}, scorers {list(self.probabilities)})"
