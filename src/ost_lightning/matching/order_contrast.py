"""A preference for steps in their order that doesn't change how well a video fits otherwise."""

import math
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.matchers import Matcher
from ost_lightning.matching.od_solver import OptimalDescriptorSolver, TermWeights
from ost_lightning.matching.transport_problem import TransportProblem

_ITERATIONS: Final = 1000
"""Bound on Sinkhorn's iterations, of which problems with a prior need more."""


class OrderContrast(Matcher):
    r"""Another matcher's similarity, plus the evidence that steps are seen in their order and not in reverse.

    .. math:: S + w \, (\langle P^\sigma(D), \cos(V, D) \rangle - \langle P^\sigma(\bar D), \cos(V, \bar D) \rangle)

    with the transport plan of the Temporal Descriptors D under an order-preserving prior of width sigma, and that of
    the reversed ones. What frames and descriptors have in common cancels in the difference, which is 0 on average for a
    video without an order. The sum may leave [-1, 1].

    An order-preserving plan alone prefers videos that fit at all to those that fit in order.

    Args:
        matcher: Matcher whose similarity is S.
        order_sigma: Width of the prior, > 0, as a fraction of the video's length.
        weight: Weight w of the difference, at least 0.
        epsilon: Weight of the entropy in transport, > 0.

    Raises:
        UserError: If a number is out of range, or the matcher takes no Temporal Descriptors.

    Examples:
        One video of two frames, one class with two steps; then the same video played backwards.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
        >>> steps = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> temporal = OptimalDescriptorSolver(terms=TermWeights(0, 1, 0, 1))
        >>> OrderContrast(temporal, order_sigma=0.1, weight=0.1)(frames, steps)
        tensor([[0.8424],
                [0.6576]])
    """

    def __init__(self, matcher: Matcher, order_sigma: float = 0.3, weight: float = 2.0, epsilon: float = 0.1) -> None:
        super().__init__()
        if "temporal" not in matcher.kinds:
            raise UserError(
                f"An order needs steps, but {type(matcher).__name__} takes no Temporal Descriptors: choose another "
                "matcher, or leave out order_sigma."
            )
        if not (weight >= 0 and math.isfinite(weight)):
            raise UserError(f"OrderContrast.weight is {weight}: expected 0 or more.")
        self.matcher, self.order_sigma, self.weight, self.epsilon = matcher, order_sigma, weight, epsilon
        self.kinds = matcher.kinds
        self._ordered = OptimalDescriptorSolver(
            epsilon,
            _ITERATIONS,
            terms=TermWeights(0, 0, 0, 1),
            temporal=TransportProblem(order_sigma=order_sigma),
        )

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d) and the sentences of the matcher, (K, N, d) per kind."""
        steps = texts[self.kinds.index("temporal")]
        forward, backward = (self._ordered(frames, one) for one in (steps, steps.flip(1)))
        similarity: Tensor = self.matcher(frames, *texts) + self.weight * (forward - backward)
        return similarity

    def unconverged(self) -> Tensor | None:
        """Returns how many transport problems failed to converge since the last call."""
        counts = [count for one in (self.matcher, self._ordered) if (count := one.unconverged()) is not None]
        return torch.stack(counts).sum()
