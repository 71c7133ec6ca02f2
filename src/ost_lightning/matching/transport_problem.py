"""The transport problems between frames and descriptors, as a user writes them down."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.sinkhorn_problem import Marginals, SinkhornProblem


@dataclass(frozen=True)
class TransportProblem:
    r"""Marginals and prior of a plan; by default the balanced problem of the paper (Eq. 3 and 11).

    Each option adds one thing to it. An order goes together with either of the other two; a relaxed marginal and a
    partial mass exclude one another.

    Attributes:
        order_sigma: Width of an order-preserving prior, > 0, as a share of the video's length; for descriptors that
            are steps in order. Early frames prefer early steps: with the centers :math:`x_t = (t + 1/2) / T` of frames
            and :math:`y_n = (n + 1/2) / N` of steps, both counted from 0,

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) + \epsilon \, KL(P \,\|\, G), \quad
                G_{tn} \propto \exp \left( -\frac{(x_t - y_n)^2}{2 \sigma^2} \right)

            under unchanged marginals, which is the balanced problem with Gibbs' kernel times G. With centers instead
            of t/T and n/N the prior is symmetric in time: a video played backwards, matched with the steps in reverse,
            has the same plan in reverse. (After Su and Hua, "Order-preserving Wasserstein distance for sequence
            matching", CVPR 2017, with the distance in relative time instead of that to the diagonal.)
        descriptor_rho: Weight of a KL penalty, > 0, that takes the place of the descriptors' marginal, so that a
            descriptor that nothing in the video shows may go without frames:

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P) + \rho \, KL(P^\top 1_T \,\|\, 1_N / N),
                \quad P 1_N = 1_T / T

            Frames still carry 1/T each. Large values are the balanced problem; towards 0, every frame chooses by itself
            (`SoftmaxMatching`). (Chizat et al., "Scaling algorithms for unbalanced optimal transport problems",
            Mathematics of Computation 2018.)
        mass: Share of the mass that is carried, in (0, 1]; below 1 both marginals are upper bounds, so that frames and
            descriptors without a partner may be left out:

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P), \quad P 1_N \le 1_T / T, \quad
                P^\top 1_T \le 1_N / N, \quad 1_T^\top P 1_N = m

            (Benamou et al., "Iterative Bregman projections for regularized transportation problems", SIAM Journal on
            Scientific Computing 2015, Sec. 5.)

    Raises:
        UserError: If a value is out of range, or the options exclude one another.
    """

    order_sigma: float | None = None
    descriptor_rho: float | None = None
    mass: float = 1.0

    def __post_init__(self) -> None:
        for name in ("order_sigma", "descriptor_rho"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(
                    f"TransportProblem.{name} must be a positive number, or null to do without; not {value}."
                )
        if not 0 < self.mass <= 1:
            raise UserError(
                f"TransportProblem.mass is the share that is carried, above 0 and at most 1, not {self.mass}."
            )
        if self.mass < 1 and self.descriptor_rho is not None:
            raise UserError(
                f"TransportProblem has mass {self.mass:g} and descriptor_rho {self.descriptor_rho:g}: a plan is either "
                f"partial or has a relaxed marginal. Leave one of them out."
            )

    def as_sinkhorn(
        self, cosines: Tensor, epsilon: float | Tensor, max_iterations: int, tolerance: float
    ) -> SinkhornProblem:
        """The problem as Sinkhorn's iterations take it, for cosines (..., T, N)."""
        prior = None if self.order_sigma is None else _log_prior(cosines, self.order_sigma)
        ratio = None if self.descriptor_rho is None else epsilon / self.descriptor_rho
        marginals = Marginals(ratio, self.mass if self.mass < 1 else None)
        return SinkhornProblem(epsilon, prior, marginals, max_iterations, tolerance)


BALANCED: Final = TransportProblem()
"""The problem of the paper."""


def _log_prior(cosines: Tensor, sigma: float) -> Tensor:
    """Logarithm of G up to a constant, (T, N)."""
    times, steps = (
        (torch.arange(count, dtype=cosines.dtype, device=cosines.device) + 0.5) / count for count in cosines.shape[-2:]
    )
    return -((times[:, None] - steps) ** 2) / (2 * sigma**2)
