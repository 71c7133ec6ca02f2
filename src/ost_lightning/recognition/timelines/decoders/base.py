"""Base classes of decoders: from the evidence of stretches to segments of a timeline."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines.stretches import StretchScores
from ost_lightning.recognition.timelines.timeline import Segment

NONE: Final = -1
"""Label of steps that show none of the classes."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Segments that a decoder found in one video.

    Attributes:
        segments: Segments in order of time, without overlap.
        detections: Candidates by decreasing score, which may overlap.
        level: Evidence above which a class was accepted.
    """

    segments: tuple[Segment, ...]
    detections: tuple[Segment, ...]
    level: float


@dataclass(frozen=True)
class TimelineDecoder(ABC):
    """Decides from the evidence of stretches what happens when, and when none of the classes does.

    Attributes:
        level: Evidence above which a class counts, on the scale of cosines. It depends on the weights and the style of
            the descriptors, so choose it with videos of other classes, or with `measure_background`. None for a
            quantile of the video's own scores, which finds segments in any video, even if it shows none of the classes.
        quantile: Share of the video's stretches whose best class is below the level, if `level` is None; 0 to 1.

    Raises:
        UserError: If a value is out of range.
    """

    level: float | None = None
    quantile: float = 0.6

    def __post_init__(self) -> None:
        if self.level is not None and not math.isfinite(self.level):
            raise UserError(f"{type(self).__name__}.level is {self.level}: expected a finite number, or none.")
        if not 0 < self.quantile < 1:
            raise UserError(f"{type(self).__name__}.quantile is {self.quantile}: expected a share between 0 and 1.")

    @abstractmethod
    def decode(self, scores: StretchScores) -> Decoding:
        """Returns the segments of a video.

        Args:
            scores: Evidence of the video's stretches.
        """

    @abstractmethod
    def best_evidence(self, scores: StretchScores) -> Tensor:
        """Returns what is compared with the level: the best class's evidence for each stretch or step, (n,).

        Args:
            scores: Evidence of the video's stretches.
        """

    def settings(self) -> dict[str, str | float]:
        """Returns what the segments depend on besides the evidence."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        if self.level is not None:
            del values["quantile"]
        return {"decoder": type(self).__name__, **{f"decoder.{name}": value for name, value in values.items()}}

    def _level(self, scores: StretchScores) -> float:
        if self.level is not None:
            return self.level
        best = self.best_evidence(scores)
        if not len(best):
            return 0.0
        # something is above the level even if all values are equal, as in a video of a single frame
        highest = torch.nextafter(best.amax(), best.new_tensor(-math.inf))
        return float(torch.minimum(best.quantile(self.quantile), highest))


def check_positive(decoder: TimelineDecoder, *names: str, zero: bool = False) -> None:
    """Checks that settings are positive and finite.

    Args:
        decoder: Decoder with the settings as attributes.
        names: Names of the settings; None is skipped.
        zero: Whether 0 is allowed.

    Raises:
        UserError: If one is not.
    """
    for name in names:
        value = getattr(decoder, name)
        if value is not None and not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
            expected = "0 or more" if zero else "a positive number"
            raise UserError(f"{type(decoder).__name__}.{name} is {value}: expected {expected}.")


@dataclass(frozen=True)
class StepDecoder(TimelineDecoder):
    """Base class of decoders that label every step of the grid by the windows around it.

    Attributes:
        window: Length of the windows in seconds; of the lengths that were scored, the nearest one is used. None for the
            middle one.
    """

    window: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "window")

    @abstractmethod
    def labels(self, evidence: Tensor, level: float, rate: float) -> Tensor:
        """Returns the class of each step, or `NONE`, int64 (n,).

        Args:
            evidence: Evidence of n consecutive steps, fp32 (n, K).
            level: Evidence above which a class counts.
            rate: Number of steps per second.
        """

    def decode(self, scores: StretchScores) -> Decoding:
        """Returns the segments of a video; the ranked list holds the same ones.

        The evidence is that of transport alone: the worst step misleads in windows that begin within an action.

        Args:
            scores: Evidence of the video's stretches.
        """
        level = self._level(scores)
        segments: list[Segment] = []
        for start, end in scores.video.runs():
            evidence = self._steps(scores, start, end)
            labels = self.labels(evidence, level, scores.video.rate)
            segments += _segments(labels, evidence, scores.video.edges[start:].tolist(), scores.classes)
        return Decoding(tuple(segments), tuple(sorted(segments, key=lambda segment: -segment.score)), level)

    def best_evidence(self, scores: StretchScores) -> Tensor:
        """Returns the best class's evidence for each step outside of gaps, (n,)."""
        values = [self._steps(scores, start, end).amax(1) for start, end in scores.video.runs()]
        return torch.cat([torch.empty(0), *values])

    def _steps(self, scores: StretchScores, start: int, end: int) -> Tensor:
        """Evidence of the steps from start to end, interpolated between the centers of windows: (n, K)."""
        inside = ((scores.spans[:, 0] >= start) & (scores.spans[:, 1] <= end)).nonzero().flatten()
        spans = scores.spans[inside]
        lengths = spans.diff(dim=1).flatten()
        every = lengths.unique()
        wanted = every[len(every) // 2] if self.window is None else self.window * scores.video.rate
        nearest = every[(every - wanted).abs().argmin()]
        chosen = lengths == nearest
        values, centers = scores.transported[inside[chosen]], spans[chosen].double().mean(1) - 0.5
        if len(centers) == 1:
            return values.expand(end - start, -1)
        steps = torch.arange(start, end, dtype=torch.float64).clamp(centers[0], centers[-1])
        right = torch.searchsorted(centers, steps).clamp(1, len(centers) - 1)
        share = ((steps - centers[right - 1]) / (centers[right] - centers[right - 1])).to(values.dtype)[:, None]
        return values[right - 1] * (1 - share) + values[right] * share


def runs_of(labels: Tensor) -> list[tuple[int, int, int]]:
    """Returns runs of equal labels but `NONE`: start, end (exclusive) and label of each."""
    changes = (labels.diff() != 0).nonzero().flatten() + 1
    edges = [0, *changes.tolist(), len(labels)]
    found = [(start, end, int(labels[start])) for start, end in pairwise(edges)]
    return [run for run in found if run[2] != NONE]


def _segments(labels: Tensor, evidence: Tensor, edges: Sequence[float], classes: Sequence[str]) -> list[Segment]:
    """Segments of a labeling; the score is the mean evidence for the label."""
    return [
        Segment(edges[start], edges[end], classes[label], float(evidence[start:end, label].mean()))
        for start, end, label in runs_of(labels)
    ]
