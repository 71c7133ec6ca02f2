"""Decoder by a threshold on windows, for comparison."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ost_lightning.recognition.timelines.decoders.base import NONE, StepDecoder, check_positive, runs_of


@dataclass(frozen=True)
class ThresholdDecoder(StepDecoder):
    """Takes the best class of each step where it is above the level, closes short gaps, and drops short segments.

    Attributes:
        level: Evidence above which a class counts, on the scale of cosines; see `TimelineDecoder`.
        quantile: Share of the video's steps whose best class is below the level, if `level` is None; 0 to 1.
        window: Length of the windows in seconds; of the lengths that were scored, the nearest one is used. None for the
            middle one.
        bridge: Longest gap between segments of a class that is closed, in seconds.
        shortest: Shortest segment that is kept, in seconds.

    Raises:
        UserError: If a value is out of range.
    """

    bridge: float = 1.0
    shortest: float = 1.75

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "bridge", "shortest", zero=True)

    def labels(self, evidence: Tensor, level: float, rate: float) -> Tensor:
        """Returns the class of each step, or `NONE`, int64 (n,)."""
        best, label = evidence.max(1)
        labels = torch.where(best > level, label, NONE)
        for (_, end, before), (start, _, after) in pairwise(runs_of(labels)):
            if before == after and (start - end) / rate <= self.bridge:
                labels[end:start] = before
        for start, end, _ in runs_of(labels):
            if (end - start) / rate < self.shortest:
                labels[start:end] = NONE
        return labels
