"""Entropic optimal transport between the frames of a video and the descriptors of a class."""

import math
import warnings
from dataclasses import dataclass
from typing import Final, Literal

import torch
from einops import rearrange
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching.plan_gradient import differentiable_plan
from ost_lightning.matching.sinkhorn import Marginals, Scaled, Sinkhorn

PlanGradient = Literal["envelope", "through_plan"]


class TransportWarning(RuntimeWarning):
    """Transport problems did not converge."""


@dataclass(frozen=True)
class TransportProblem:
    r"""What is asked of a plan: by default the balanced problem of the paper (Eq. 3 and 11), see `transport_plan`.

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


BALANCED: Final = TransportProblem()
"""The problem of the paper."""


@dataclass(frozen=True, slots=True)
class TransportSolution:
    """Plans and whether their iterations converged.

    Attributes:
        plan: (..., T, N), non-negative. Balanced plans: columns sum to 1/N, rows to 1/T up to the tolerance. With a
            relaxed marginal: rows sum to 1/T. Partial ones: all sum to the mass, columns and rows to no more than 1/N
            and 1/T up to the tolerance.
        converged: bool (...).
    """

    plan: Tensor
    converged: Tensor


def transport_plan(
    cosines: Tensor,
    *,
    problem: TransportProblem = BALANCED,
    epsilon: float | Tensor = 0.1,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
    gradient: PlanGradient = "envelope",
) -> Tensor:
    r"""The plan that carries frames to descriptors at least cost.

    Entropic optimal transport between uniform marginals (Eq. 3 and 11 of the paper; Cuturi, NeurIPS 2013),

    .. math:: P^* = \arg\min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P)

    .. math:: P 1_N = 1_T / T, \quad P^\top 1_T = 1_N / N, \quad P \ge 0,

    by Sinkhorn's iterations (Eq. 4 and 5), or one of the variants of `TransportProblem`. Computed in fp32 (fp64 for
    fp64 input), also under autocast. Every problem stops on its own, so its plan does not depend on the others in the
    batch.

    Args:
        cosines: (..., T, N), finite; usually in [-1, 1], but any scale is solved exactly.
        problem: What is asked of the plan.
        epsilon: Weight of the entropy (lambda in the paper), > 0; a scalar tensor may be learned.
        max_iterations: Bound on the iterations of one problem.
        tolerance: A problem is done when the row scalings a of Eq. 5 change by less than this in one iteration, summed
            over frames. The change counts absolutely where 1 <= a <= 100, as with CLIP's cosines and the default
            epsilon; relatively below, in hundredths above. (The released code compares the absolute mean over the whole
            batch, which couples the problems.) For partial plans, the
            relative changes of both scalings are summed, in hundredths.
        gradient: `envelope`: the plan is a constant, as released. That is the exact gradient of the problem's optimal
            value, entropy included, by the envelope theorem, and an approximation of that of the score <P, cos>.
            `through_plan`: the plan depends on cosines and epsilon, by implicit differentiation (exact for a converged
            plan, so lower the tolerance with it where that matters).

    Returns:
        (..., T, N).

    Raises:
        ValueError: If the input is not finite (checked on a CPU; on an accelerator the plan comes out NaN, since
            looking would stall its queue) or a parameter is out of range.

    Warns:
        TransportWarning: If problems have not converged (on a CPU; see `solve_transport` elsewhere).
    """
    solution = solve_transport(
        cosines,
        problem=problem,
        epsilon=epsilon,
        max_iterations=max_iterations,
        tolerance=tolerance,
        gradient=gradient,
    )
    if cosines.device.type == "cpu" and not bool(solution.converged.all()):
        warnings.warn(
            f"{int((~solution.converged).sum())} of {solution.converged.numel()} transport problems have not converged "
            f"after {max_iterations} iterations: raise max_iterations, epsilon "
            f"({float(torch.as_tensor(epsilon).detach()):g}) or tolerance ({tolerance:g})",
            TransportWarning,
            stacklevel=2,
        )
    return solution.plan


def solve_transport(
    cosines: Tensor,
    *,
    problem: TransportProblem = BALANCED,
    epsilon: float | Tensor = 0.1,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
    gradient: PlanGradient = "envelope",
) -> TransportSolution:
    """Like `transport_plan`, but instead of warning tells which problems converged, on any device."""
    _check(epsilon, max_iterations, tolerance)
    if cosines.ndim < 2 or 0 in cosines.shape[-2:]:
        raise ValueError(f"cosines must be (..., T, N) with T, N >= 1, not {tuple(cosines.shape)}")
    on_cpu = cosines.device.type == "cpu"
    exact = cosines.to(torch.float64 if cosines.dtype == torch.float64 else torch.float32)
    if on_cpu:
        _check_finite(exact)
    prior = _log_prior(exact, problem.order_sigma) if problem.order_sigma is not None else None
    relaxation = None if problem.descriptor_rho is None else epsilon / problem.descriptor_rho
    with torch.no_grad(), torch.autocast(cosines.device.type, enabled=False):
        marginals = Marginals(relaxation, problem.mass if problem.mass < 1 else None)
        solver = Sinkhorn(epsilon, prior, marginals, max_iterations, tolerance)
        solved = solver.solve(rearrange(exact, "... t n -> t n (...)"))
        plan, converged, free_rows, free_columns = _problems_first(solved, cosines.shape)
    if gradient == "through_plan" and torch.is_grad_enabled():
        # additive constants of a problem do not change its plan
        log_kernel = exact / epsilon if prior is None else exact / epsilon + prior
        kappa = None if relaxation is None else torch.as_tensor(relaxation, dtype=torch.float64)
        plan = differentiable_plan(log_kernel, kappa, plan, free_rows, free_columns, problem.mass < 1)
    return TransportSolution(plan, converged)


def _check_finite(cosines: Tensor) -> None:
    # a sum is quick and shows what is not finite; so does, rarely, one that is too large
    if bool(torch.isfinite(cosines.detach().sum())):
        return
    count = int((~torch.isfinite(cosines)).sum())
    if count:
        raise ValueError(
            f"{count} of {cosines.numel()} cosines are not finite: look for NaN in the weights or a learning rate "
            f"that is too high"
        )


def _log_prior(cosines: Tensor, sigma: float) -> Tensor:
    """Logarithm of G up to a constant, (T, N)."""
    times, steps = (
        (torch.arange(count, dtype=cosines.dtype, device=cosines.device) + 0.5) / count for count in cosines.shape[-2:]
    )
    return -((times[:, None] - steps) ** 2) / (2 * sigma**2)


def _problems_first(solved: Scaled, shape: torch.Size) -> Scaled:
    plan, converged, rows, columns = (part.movedim(-1, 0) for part in solved)
    return Scaled(
        plan.reshape(shape),
        converged.reshape(shape[:-2]),
        rows.reshape(shape[:-1]),
        columns.reshape(*shape[:-2], shape[-1]),
    )


def _check(epsilon: float | Tensor, max_iterations: int, tolerance: float) -> None:
    # a learned epsilon is positive by construction, and looking at it would make the host wait for the device
    if not isinstance(epsilon, Tensor) and not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive, not {epsilon}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, not {max_iterations}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance}")
