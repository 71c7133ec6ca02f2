"""Scores of stored segments, by the matchers of the suite."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from ost_lightning.evaluation import similarities
from ost_lightning.matching import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    OrderContrast,
    PooledDescriptors,
    SoftDTW,
    SoftmaxMatching,
)
from ost_lightning.matching.matchers import unit_name
from ost_lightning.models import DescriptorEmbeddings, VideoCLIP

_BILINEAR: Final = (
    CategoryName,
    PooledDescriptors,
    MaxSimilarity,
    SoftmaxMatching,
    SoftDTW,
    OptimalDescriptorSolver,
)
"""Matchers that see frames only through their inner products with sentences."""
_FRAMES_AT_ONCE: Final = 512
"""Frames that are converted to fp32 together; they fit a CPU's cache."""
_MATCHED_TOGETHER: Final = 8192
"""Segments whose coordinates are matched together, at least, if there are as many."""
_COSINES_AT_ONCE: Final = 1 << 23
"""Number of cosines that are matched at once: 32 MB, and a few times that for transport."""


@dataclass(frozen=True)
class SegmentScorer:
    """Similarities of segments and K classes.

    Attributes:
        video_clip: Encoder that the embeddings are from; None if the texts are embeddings of frames.
        matcher: Mechanism that compares frames and sentences.
        texts: Embeddings of the sentences, kind -> (K, N, d), for all kinds that the matcher needs.
    """

    video_clip: VideoCLIP | None
    matcher: Matcher
    texts: DescriptorEmbeddings

    @property
    def classes(self) -> int:
        """Number of classes, K."""
        return len(self.texts[self.matcher.kinds[0]])

    def similarities(self, embeddings: Tensor) -> Tensor:
        """Scores segments with the matcher, in parts that bound memory.

        Args:
            embeddings: Unit vectors of the frames, fp16 or fp32 (n, T, d), in host memory.

        Returns:
            fp32 (n, K), in host memory.
        """
        return torch.cat(list(self.in_turn([embeddings])))

    @torch.inference_mode()
    def in_turn(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yields the similarities of all segments in order, in parts of other sizes than those given.

        A few sentences span a small part of the embedding space. Matchers that only take inner products then get
        the frames' coordinates in that part, so that a frame is read once and takes R numbers in place of d. Those of
        several parts are matched together.

        Args:
            parts: Unit vectors of the frames, fp16 or fp32 (n, T, d) each, in host memory.

        Yields:
            fp32 (m, K), in host memory.
        """
        basis, texts = self._coordinates
        device = texts[self.matcher.kinds[0]].device
        coordinates = parts if basis is None else _joined(projected(part, basis) for part in parts)
        for frames in coordinates:
            for some in frames.split(self._segments_at_once(frames.shape[1])):
                yield self._matched(some.to(device).float(), texts).cpu()

    def coarse_vectors(self) -> Tensor:
        """Returns vectors whose inner products with a mean frame approximate the similarities, fp32 (K, d).

        They are the mean sentences, each kind with its weight in the matcher, in host memory. For a segment whose
        frames are all equal, they give the matcher's similarities, up to a factor for other matchers than the OD
        Solver.
        """
        solver = _base(self.matcher)
        if not isinstance(solver, OptimalDescriptorSolver):
            return torch.stack([self.texts[kind].mean(1) for kind in self.matcher.kinds]).mean(0).cpu()
        means = {
            kind: unit_name(self.texts[kind]) if kind == "name" else self.texts[kind].mean(1) for kind in solver.kinds
        }
        parts = [sum(solver.terms.of(kind)) * mean for kind, mean in means.items()]
        return (4 * solver.factor / solver.terms.total * torch.stack(parts).sum(0)).cpu()

    @cached_property
    @torch.inference_mode()
    def _coordinates(self) -> tuple[Tensor | None, DescriptorEmbeddings]:
        """Orthonormal basis of the space that the sentences span, (d, R), and their coordinates; None for all of it."""
        every = torch.cat([self.texts[kind].flatten(0, 1) for kind in self.matcher.kinds])
        adapted = self.video_clip is not None and self.video_clip.adapt_matcher(self.matcher) is not self.matcher
        known = type(_base(self.matcher)) in _BILINEAR and not adapted
        if not known or 2 * len(every) > every.shape[1] or every.is_cuda:
            return None, self.texts
        basis = torch.linalg.qr(every.double().T).Q
        texts = {kind: (self.texts[kind].double() @ basis).float() for kind in self.matcher.kinds}
        return basis.float(), texts

    def _matched(self, frames: Tensor, texts: DescriptorEmbeddings) -> Tensor:
        if self.video_clip is not None:
            return similarities(self.video_clip, self.matcher, texts, frames)
        found: Tensor = self.matcher(frames, *(texts[kind] for kind in self.matcher.kinds))
        return found

    def _segments_at_once(self, frames: int) -> int:
        sentences = sum(self.texts[kind][0].shape[0] for kind in self.matcher.kinds)
        return max(1, _COSINES_AT_ONCE // (frames * self.classes * sentences))


def _joined(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Joins consecutive parts, because matching a few segments costs as much as matching some thousand."""
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= _MATCHED_TOGETHER:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


def _base(matcher: Matcher) -> Matcher:
    """The matcher without a preference for order."""
    return matcher.matcher if isinstance(matcher, OrderContrast) else matcher


def projected(embeddings: Tensor, basis: Tensor) -> Tensor:
    """Returns the coordinates of vectors, fp32 (..., R), without a copy of all of them in fp32.

    Args:
        embeddings: Vectors in host memory, fp16 or fp32 (..., d).
        basis: Orthonormal columns, fp32 (d, R).
    """
    rows = embeddings.reshape(-1, len(basis))
    # with few columns, the product is faster the other way round
    found = torch.empty(basis.shape[1], len(rows))
    for start in range(0, len(rows), _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        torch.mm(basis.T, rows[part].float().T, out=found[:, part])
    return found.T.contiguous().view(*embeddings.shape[:-1], -1)


def best(scores: Tensor, count: int) -> list[int]:
    """Returns the positions of the highest scores, in decreasing order; equal scores in their own order.

    Args:
        scores: Scores, (n,).
        count: Largest number of positions.
    """
    order: Sequence[int] = scores.argsort(descending=True, stable=True)[:count].tolist()
    return list(order)
