"""Decoder that chooses whole stretches: the default."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.decoders.base import Decoding, TimelineDecoder, check_positive
from ost_lightning.recognition.timelines.stretches import StretchScores
from ost_lightning.recognition.timelines.timeline import Segment


@dataclass(frozen=True)
class StretchDecoder(TimelineDecoder):
    r"""Chooses the stretches without overlap that gain most, by dynamic programming.

    A stretch with the best class k gains

    .. math:: (s_k - c \cdot a_k - b) \cdot \text{seconds} - \text{cost}

    where s is the evidence of the stretch, a the mean evidence just before and after it, c the contrast, and b the
    level. Contrast makes boundaries sharper: where an action goes on outside of the stretch, its surroundings speak for
    the class as well (compare the outer-inner contrast of AutoLoc, Shou et al., ECCV 2018). It takes nothing from a
    stretch without surroundings, such as a short video. The ranked list holds all stretches above the level, without
    those that overlap a better one of the same class.

    Attributes:
        level: Evidence above which a class counts, on the scale of cosines. It depends on the weights and the style of
            the descriptors, so choose it with videos of other classes, or with `measure_background`. None for a
            quantile of the video's own scores, which finds segments in any video, even if it shows none of the classes.
        quantile: Share of the video's stretches whose best class is below the level, if `level` is None; 0 to 1.
        contrast: Share of the surroundings' evidence that is subtracted, 0 to less than 1.
        cost: Cost of each segment, in evidence times seconds, at least 0; more gives fewer segments.
        max_overlap: Largest temporal intersection over union of two stretches of a class in the ranked list, 0 to 1.

    Raises:
        UserError: If a value is out of range.
    """

    quantile: float = 0.8
    contrast: float = 0.15
    cost: float = 0.0
    max_overlap: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "cost", zero=True)
        for name in ("contrast", "max_overlap"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise UserError(f"StretchDecoder.{name} is {value}: expected 0 to less than 1.")

    def decode(self, scores: StretchScores) -> Decoding:
        """Returns the chosen stretches as segments, and the ranked list.

        Args:
            scores: Evidence of the video's stretches.
        """
        level = self._level(scores)
        best, labels = self._contrasted(scores).max(1)
        seconds = scores.seconds()
        above = (best > level).nonzero().flatten()
        gains = (best.double() - level) * seconds.diff(dim=1).flatten() - self.cost
        chosen = above[_best_chain(scores.spans[above], gains[above])]
        ranked = above[
            _suppressed(seconds[above].numpy(), best[above].numpy(), labels[above].numpy(), self.max_overlap)
        ]

        def segments(places: Tensor) -> tuple[Segment, ...]:
            rows = zip(seconds[places].tolist(), labels[places].tolist(), best[places].tolist(), strict=True)
            return tuple(Segment(start, end, scores.classes[label], score) for (start, end), label, score in rows)

        return Decoding(segments(chosen), segments(ranked), level)

    def best_evidence(self, scores: StretchScores) -> Tensor:
        """Returns the best class's evidence for each stretch, less the share of its surroundings, (M,)."""
        return self._contrasted(scores).amax(1)

    def _contrasted(self, scores: StretchScores) -> Tensor:
        return scores.evidence - self.contrast * _surroundings(scores)


def _surroundings(scores: StretchScores) -> Tensor:
    """Mean evidence of the nearest shortest stretches before and after each stretch, (M, K); 0 where there is none.

    What lies beyond a gap of the video does not count.
    """
    around = torch.zeros_like(scores.evidence)
    for start, end in scores.video.runs():
        inside = ((scores.spans[:, 0] >= start) & (scores.spans[:, 1] <= end)).nonzero().flatten()
        if not len(inside):
            continue
        spans, evidence = scores.spans[inside], scores.evidence[inside]
        lengths = spans.diff(dim=1).flatten()
        short = (lengths == lengths.amin()).nonzero().flatten()
        starts, ends = spans[short].T.contiguous()
        before = torch.searchsorted(ends, spans[:, 0].contiguous(), right=True) - 1
        after = torch.searchsorted(starts, spans[:, 1].contiguous())
        exists = torch.stack([before >= 0, after < len(short)])[..., None]
        neighbors = evidence[short[torch.stack([before.clamp_min(0), after.clamp_max(len(short) - 1)])]]
        around[inside] = (neighbors * exists).sum(0) / exists.sum(0).clamp_min(1)
    return around


def _best_chain(spans: Tensor, gains: Tensor) -> list[int]:
    """Finds the spans without overlap whose gains have the largest sum.

    Args:
        spans: Start and end (exclusive), int64 (M, 2).
        gains: Gain of each span, (M,); only positive ones are chosen.

    Returns:
        Positions of the chosen spans, in order of time.
    """
    ending: dict[int, list[tuple[int, float, int]]] = {}
    for position, ((start, end), gain) in enumerate(zip(spans.tolist(), gains.tolist(), strict=True)):
        if gain > 0:
            ending.setdefault(end, []).append((start, gain, position))
    last = max(ending, default=0)
    total, last_span = [0.0] * (last + 1), [(-1, -1)] * (last + 1)
    for step in range(1, last + 1):
        total[step] = total[step - 1]
        for start, gain, position in ending.get(step, ()):
            if total[start] + gain > total[step]:
                total[step], last_span[step] = total[start] + gain, (start, position)
    chosen, step = [], last
    while step > 0:
        start, position = last_span[step]
        if position < 0:
            step -= 1
        else:
            chosen.append(position)
            step = start
    return chosen[::-1]


def _suppressed(
    seconds: NDArray[np.float64], scores: NDArray[np.float32], labels: NDArray[np.int64], max_overlap: float
) -> list[int]:
    """Greedy suppression of overlaps within each class.

    Args:
        seconds: Start and end of each candidate, (M, 2).
        scores: Score of each candidate, (M,).
        labels: Class of each candidate, (M,).
        max_overlap: Largest temporal intersection over union that is kept.

    Returns:
        Positions of the kept candidates, by decreasing score.
    """
    kept: list[int] = []
    order = np.argsort(-scores, kind="stable")
    by_class = order[np.argsort(labels[order], kind="stable")]
    for mine in np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1):
        kept += mine[_suppressed_in_class(seconds[mine], max_overlap)].tolist()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return sorted(kept, key=rank.__getitem__)


def _suppressed_in_class(seconds: NDArray[np.float64], max_overlap: float) -> list[int]:
    """Positions of the kept candidates of one class, whose times (M, 2) are in the order of decreasing scores."""
    by_start = np.argsort(seconds[:, 0], kind="stable")
    starts, ends = seconds[by_start].T.copy()
    place = np.empty(len(by_start), np.int64)
    place[by_start] = np.arange(len(by_start))
    longest = (ends - starts).max(initial=0)
    left = np.ones(len(by_start), bool)
    kept = []
    for best in range(len(by_start)):
        if not left[place[best]]:
            continue
        kept.append(best)
        start, end = seconds[best]
        # only those that begin before its end and, at the greatest length, after its start can overlap
        near = slice(np.searchsorted(starts, start - longest), np.searchsorted(starts, end))
        shared = np.minimum(end, ends[near]) - np.maximum(start, starts[near])
        union = np.maximum(end, ends[near]) - np.minimum(start, starts[near])
        left[near] &= shared.clip(min=0) <= max_overlap * union
    return kept
