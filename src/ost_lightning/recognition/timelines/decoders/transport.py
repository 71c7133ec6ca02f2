"""Decoder by transport of the whole video, for comparison."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.timeline import TimelineProblem, solve_timeline
from ost_lightning.recognition.timelines.decoders.base import NONE, StepDecoder, check_positive


@dataclass(frozen=True)
class TransportDecoder(StepDecoder):
    """Transports all steps of the video to classes, with a smooth assignment (ASOT, Xu and Gould, CVPR 2024).

    Background is one more class, with the level as its evidence everywhere.

    Attributes:
        level: Evidence above which a class counts, on the scale of cosines; see `TimelineDecoder`.
        quantile: Share of the video's steps whose best class is below the level, if `level` is None; 0 to 1.
        window: Length of the windows in seconds; of the lengths that were scored, the nearest one is used. None for the
            middle one.
        radius: Distance up to which steps should agree, in seconds; at least one step.
        smoothness: Weight of the agreement, 0 to less than 1.
        epsilon: Weight of the entropy, > 0.
        spread: Difference of evidence that counts as 1, > 0: how much a class that fits is typically ahead of one that
            doesn't. None for the standard deviation of the best class over the video.

    Raises:
        UserError: If a value is out of range.
    """

    radius: float = 1.0
    smoothness: float = 0.5
    epsilon: float = 0.07
    spread: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "radius", "epsilon", "spread")
        if not 0 <= self.smoothness < 1:
            raise UserError(f"TransportDecoder.smoothness is {self.smoothness}: expected 0 to less than 1.")

    def labels(self, evidence: Tensor, level: float, rate: float) -> Tensor:
        """Returns the class of each step, or `NONE`, int64 (n,)."""
        classes = evidence.shape[1]
        spread = float(evidence.amax(1).std(correction=0)) if self.spread is None else self.spread
        # all steps of a part without any contrast are above the level, or none is
        costs = (level - evidence.double()) / (spread or 1.0)
        costs = torch.cat([costs, costs.new_zeros(len(costs), 1)], 1)
        problem = TimelineProblem(max(1.0, self.radius * rate), self.smoothness, self.epsilon)
        labels = solve_timeline(costs, problem).assignment.argmax(1)
        return torch.where(labels == classes, NONE, labels)
