"""Problem, result and stopping rule that all Sinkhorn solvers share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

ABSOLUTE_RANGE: Final = (1.0, 100.0)
"""Range of row scalings whose changes are measured absolutely; see the tolerance of `transport_plan`."""
PARTIAL_WEIGHT: Final = 100.0
"""Weight of relative changes in partial problems, which converge slowly."""
ROUNDING: Final = 4
"""Largest relative change that counts as rounding error, in units of the scalings' resolution."""


@dataclass(frozen=True, slots=True)
class Marginals:
    """Constraints on the row and column sums of a plan, which are 1/T and 1/N unless `LogSums` has others.

    Attributes:
        epsilon_over_rho: Weight of the entropy divided by the weight of the columns' KL penalty, > 0; None for exact
            column sums.
        mass: Total mass of a partial plan, whose sums are upper bounds; None for exact sums.
    """

    # ott-jax's tau is 1 / (1 + epsilon_over_rho): the gradient and the mass of relaxed plans need the ratio itself
    epsilon_over_rho: float | Tensor | None = None
    mass: float | None = None


class LogSums(NamedTuple):
    """Logarithms of the row and column sums of P problems where they are not uniform; the sums of a problem are 1.

    Attributes:
        rows: Logarithms of the row sums, finite (T, P); None for 1/T.
        columns: Logarithms of the column sums, finite (N, P); None for 1/N.
    """

    rows: Tensor | None = None
    columns: Tensor | None = None

    @property
    def are_uniform(self) -> bool:
        """Whether all sums are 1/T and 1/N."""
        return self.rows is None and self.columns is None

    def apply(self, function: Callable[[Tensor], Tensor]) -> "LogSums":
        """Returns the results of a function for the sums that are not uniform."""
        return LogSums(*(None if part is None else function(part) for part in self))


@dataclass(frozen=True, slots=True)
class SinkhornProblem:
    """Settings shared by many transport problems that differ only in their cosines and sums.

    Attributes:
        epsilon: Weight of the entropy, > 0.
        log_prior: Term added to the logarithm of the Gibbs kernel, (T, N); None for no prior.
        marginals: Constraints on the sums of a plan.
        max_iterations: Upper bound on the iterations of each problem.
        tolerance: Upper bound on the change at which a problem stops; see `transport_plan`.
    """

    epsilon: float | Tensor = 0.1
    log_prior: Tensor | None = None
    marginals: Marginals = Marginals()
    max_iterations: int = 100
    tolerance: float = 1e-2


class SinkhornResult(NamedTuple):
    """Solutions of P problems; the last dimension indexes problems.

    Attributes:
        plan: Transport plans exp(log_u + (cosines - 1) / epsilon + log_prior + log_v), (T, N, P).
        log_u: Potentials of the rows divided by epsilon, (T, P).
        log_v: Potentials of the columns divided by epsilon, (N, P).
        converged: Whether the stopping rule was met within `max_iterations`, bool (P,).
        slack_rows: Rows of a partial plan whose bound is not active, bool (T, P).
        slack_columns: Columns of a partial plan whose bound is not active, bool (N, P).
    """

    plan: Tensor
    log_u: Tensor
    log_v: Tensor
    converged: Tensor
    slack_rows: Tensor
    slack_columns: Tensor

    def problems_first(self, shape: torch.Size) -> "SinkhornResult":
        """Returns the same solutions with the problems first, in the layout of cosines of shape (..., T, N)."""
        batch, (frames, descriptors) = shape[:-2], shape[-2:]
        shapes = (shape, (*batch, frames), (*batch, descriptors), batch, (*batch, frames), (*batch, descriptors))
        return SinkhornResult(*(part.movedim(-1, 0).reshape(to) for part, to in zip(self, shapes, strict=True)))


def has_stopped(relative: Tensor, weight: Tensor | float, resolution: Tensor | float, tolerance: float) -> Tensor:
    """Applies the stopping rule: scalings change by less than the tolerance, or only by rounding error.

    Args:
        relative: Relative changes |old / new - 1| of each problem's M scalings in one iteration, (M, P).
        weight: Weights of these changes in their sum, at most 100, broadcastable to (M, P).
        resolution: Relative rounding error of a scaling: one value per problem (P,), or one for all.
        tolerance: Upper bound on the weighted sum.

    Returns:
        Whether each problem has stopped, bool (P,).
    """
    stopped = relative.mul(weight).sum(0) < tolerance
    if isinstance(resolution, float) and tolerance > ROUNDING * resolution * len(relative) * ABSOLUTE_RANGE[1]:
        return stopped  # changes due to rounding alone are below the tolerance
    return stopped | (relative.amax(0) <= ROUNDING * resolution)
