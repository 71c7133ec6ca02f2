"""Transport problems between frames and descriptors, as users specify them."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.later_settings import later_setting
from ost_lightning.matching.sinkhorn_problem import Marginals, SinkhornProblem


@dataclass(frozen=True)
class TransportProblem:
    r"""Marginals and prior of a plan; by default, the balanced problem of the paper (Eq. 3 and 11).

    Each option changes one aspect of it, and all can be combined, except that a relaxed marginal and a partial mass are
    mutually exclusive.

    Attributes:
        order_sigma: Width of an order-preserving prior, > 0, as a fraction of the video's length; None for no prior. It
            suits descriptors that are consecutive steps: early frames prefer early steps. With frame centers
            :math:`x_t = (t + 1/2) / T` and step centers :math:`y_n = (n + 1/2) / N`, both counted from 0,

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) + \epsilon \, KL(P \,\|\, G), \quad
                G_{tn} \propto \exp \left( -\frac{(x_t - y_n)^2}{2 \sigma^2} \right)

            under unchanged marginals. This is the balanced problem with the Gibbs kernel multiplied by G. Since it uses
            centers instead of t/T and n/N, the prior is symmetric in time: reversing both the video and the steps
            reverses the plan. (After Su and Hua, "Order-preserving Wasserstein distance for sequence matching", CVPR
            2017, with the distance in relative time instead of the distance to the diagonal.)
        descriptor_rho: Weight of a KL penalty, > 0, that replaces the descriptors' marginal constraint; None for the
            exact marginal. A descriptor that the video does not show may then receive less mass:

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P) + \rho \, KL(P^\top 1_T \,\|\, 1_N / N),
                \quad P 1_N = 1_T / T

            Frames still carry their whole mass. Large values approach the balanced problem; towards 0, each frame is
            assigned independently (`SoftmaxMatching`). (Chizat et al., "Scaling algorithms for unbalanced optimal
            transport problems", Mathematics of Computation 2018.)
        mass: Fraction of the mass that is transported, in (0, 1]. Below 1, both marginals are upper bounds, so frames
            and descriptors without a match may be left out:

            .. math:: \min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P), \quad P 1_N \le 1_T / T, \quad
                P^\top 1_T \le 1_N / N, \quad 1_T^\top P 1_N = m

            (Benamou et al., "Iterative Bregman projections for regularized transportation problems", SIAM Journal on
            Scientific Computing 2015, Sec. 5.)
        frame_temperature: Temperature, > 0, of frame marginals by confidence; None for 1/T. Frame t then carries

            .. math:: a_t = \mathrm{softmax}_t \left( \max_n \cos_{tn} / \tau \right)

            so that a frame that none of the class's descriptors fits counts less. Large values approach 1/T. With an
            implicit gradient, the marginal is differentiated too.

    Raises:
        UserError: If a value is out of range, or the options are mutually exclusive.
    """

    order_sigma: float | None = None
    descriptor_rho: float | None = None
    mass: float = 1.0
    frame_temperature: float | None = later_setting(None)

    def __post_init__(self) -> None:
        for name in ("order_sigma", "descriptor_rho", "frame_temperature"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(
                    f"TransportProblem.{name} must be a positive number, or null to disable it, not {value}."
                )
        if not 0 < self.mass <= 1:
            raise UserError(
                f"TransportProblem.mass, the transported fraction, must be above 0 and at most 1, not {self.mass}."
            )
        if self.mass < 1 and self.descriptor_rho is not None:
            raise UserError(
                f"TransportProblem has mass {self.mass:g} and descriptor_rho {self.descriptor_rho:g}: a plan is either "
                f"partial or has a relaxed marginal. Unset one of them."
            )

    def as_sinkhorn(
        self, cosines: Tensor, epsilon: float | Tensor, max_iterations: int, tolerance: float
    ) -> SinkhornProblem:
        """Returns the problem in the form that the Sinkhorn solvers take, for cosines (..., T, N)."""
        prior = None if self.order_sigma is None else _log_prior(cosines, self.order_sigma)
        ratio = None if self.descriptor_rho is None else epsilon / self.descriptor_rho
        marginals = Marginals(ratio, self.mass if self.mass < 1 else None)
        return SinkhornProblem(epsilon, prior, marginals, max_iterations, tolerance)

    def log_frame_marginal(self, cosines: Tensor) -> Tensor | None:
        """Returns the logarithms of the frames' masses (..., T) for cosines (..., T, N); None if they are 1/T."""
        if self.frame_temperature is None:
            return None
        logarithms = (cosines.amax(-1) / self.frame_temperature).log_softmax(-1)
        # the second one restores the sum, without which no plan would have both marginals
        return logarithms.clamp(min=_LOG_SMALLEST).log_softmax(-1)


_LOG_SMALLEST: Final = math.log(1e-12)
"""Logarithm of the smallest mass of a frame, with which scalings can still be computed in fp32."""
BALANCED: Final = TransportProblem()
"""Balanced problem of the paper."""


def _log_prior(cosines: Tensor, sigma: float) -> Tensor:
    """Returns the logarithm of G up to a constant, (T, N)."""
    times, steps = (
        (torch.arange(count, dtype=cosines.dtype, device=cosines.device) + 0.5) / count for count in cosines.shape[-2:]
    )
    return -((times[:, None] - steps) ** 2) / (2 * sigma**2)
