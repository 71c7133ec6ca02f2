"""Batches at each stage of an evaluation: pixels, embeddings, probabilities."""

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
    """Clips whose embeddings are to be stored once computed.

    Attributes:
        keys: Key of each clip in the embedding store; an empty string for a clip that can't be stored.
    """

    keys: tuple[str, ...] = ()


class EmbeddedBatch:
    """Videos as frame embeddings, without pixels.

    This is deliberately not a dataclass: Lightning converts tensors in a dataclass to the run's precision, which would
    round the embeddings again.

    Attributes:
        embeddings: Frame embeddings of the B' readable videos, fp32 (B', V, T, d), by the name of the set of weights.
        labels: Labels of all videos, int64 (B,).
        decoded: Whether each video could be read, bool (B,), always in host memory.
        ids: Record ids, B of them.
        failures: Failures of the unreadable videos, in order.
        spans: Start and end of each record, B of them.
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
        """Labels of the readable videos, int64 (B',)."""
        return self.labels if bool(self.decoded.all()) else rows_of(self.labels, self.decoded)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Copies embeddings and labels to a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copies embeddings and labels to page-locked memory; called by the loader."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        embeddings = {weights: function(embedded) for weights, embedded in self.embeddings.items()}
        return type(self)(embeddings, function(self.labels), self.decoded, self.ids, self.failures, self.spans)


def rows_of(tensor: Tensor, mask: Tensor) -> Tensor:
    """Selects rows without waiting for the device, which would have to count them.

    Args:
        tensor: Rows on any device, (B, ...).
        mask: Whether to select each row, bool (B,) in host memory.

    Returns:
        (B', ...).
    """
    return tensor[mask.nonzero()[:, 0].to(tensor.device, non_blocking=True)]


SCORED: Final = "scored"
"""Key of the `ScoredBatch` in the output of a validation or test step."""

EvaluationBatch = ClipBatch | EmbeddedBatch
"""Batch that an evaluation loader yields."""


@dataclass(frozen=True, slots=True, repr=False)
class ScoredBatch:
    """Class probabilities of one batch of videos.

    Attributes:
        set: Evaluation set of the videos.
        videos: Videos with their frame embeddings for every set of weights that scored them.
        probabilities: Class probabilities of the B' readable videos, averaged over views, fp32 (B', K), by the name of
            the scorer.
    """

    set: EvaluationSet
    videos: EmbeddedBatch
    probabilities: Mapping[str, Tensor]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.set.name}, {self.videos!r}, scorers {list(self.probabilities)})"
