"""Decoder by a chain of classes and background, for comparison."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.recognition.timelines.decoders.base import NONE, StepDecoder, check_positive


@dataclass(frozen=True)
class ViterbiDecoder(StepDecoder):
    """Finds the sequence of classes and background with the most evidence, where each change has a cost (Viterbi).

    Background has the level as its evidence everywhere.

    Attributes:
        level: Evidence above which a class counts, on the scale of cosines; see `TimelineDecoder`.
        quantile: Share of the video's steps whose best class is below the level, if `level` is None; 0 to 1.
        window: Length of the windows in seconds; of the lengths that were scored, the nearest one is used. None for the
            middle one.
        switch: Cost of each change, in evidence times seconds, at least 0.

    Raises:
        UserError: If a value is out of range.
    """

    switch: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "switch", zero=True)

    def labels(self, evidence: Tensor, level: float, rate: float) -> Tensor:
        """Returns the class of each step, or `NONE`, int64 (n,)."""
        count, classes = evidence.shape
        rewards = torch.cat([evidence, evidence.new_full((count, 1), level)], 1).double() / rate
        total, own = rewards[0], torch.arange(classes + 1)
        sources = torch.empty((count, classes + 1), dtype=torch.int64)
        for step in range(1, count):
            best, source = total.max(0)
            moved = best - self.switch
            sources[step] = torch.where(total >= moved, own, source)
            total = torch.maximum(total, moved) + rewards[step]
        labels = torch.empty(count, dtype=torch.int64)
        labels[-1] = total.argmax()
        for step in range(count - 1, 0, -1):
            labels[step - 1] = sources[step, labels[step]]
        return torch.where(labels == classes, NONE, labels)
