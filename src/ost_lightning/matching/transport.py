"""Entropic optimal transport between the frames of a video and the descriptors of a class."""

import math
import os
import shutil
import sysconfig
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import torch
from einops import rearrange
from torch import Tensor

from ost_lightning.matching.plan_gradient import differentiable_plan
from ost_lightning.matching.sinkhorn import solve_with_tensors
from ost_lightning.matching.sinkhorn_problem import SinkhornProblem, SinkhornResult
from ost_lightning.matching.transport_problem import BALANCED, TransportProblem

PlanGradient = Literal["detach", "implicit"]
"""How a plan enters the backward pass: as a constant, or by implicit differentiation."""

_HAS_TRITON: Final = (
    find_spec("triton") is not None
    # Triton compiles its launchers in C
    and bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
)


class TransportWarning(RuntimeWarning):
    """Transport problems did not converge."""


@dataclass(frozen=True, slots=True)
class TransportSolution:
    """Plans, their dual variables, and whether the iterations converged.

    Attributes:
        plan: (..., T, N), non-negative. Balanced plans: columns sum to 1/N, rows to 1/T up to the tolerance. With a
            relaxed marginal: rows sum to 1/T. Partial ones: all sum to the mass, columns and rows to no more than 1/N
            and 1/T up to the tolerance.
        log_u: Potentials of the frames over epsilon, (..., T).
        log_v: Potentials of the descriptors over epsilon, (..., N); the plan is
            exp(log_u + (cosines - 1) / epsilon + log_v), times the prior G if there is one.
        converged: bool (...).
    """

    plan: Tensor
    log_u: Tensor
    log_v: Tensor
    converged: Tensor


def transport_plan(
    cosines: Tensor,
    *,
    problem: TransportProblem = BALANCED,
    epsilon: float | Tensor = 0.1,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
    gradient: PlanGradient = "detach",
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
        problem: Marginals and prior of the plan.
        epsilon: Weight of the entropy (lambda in the paper), > 0; a scalar tensor may be learned.
        max_iterations: Upper bound on the iterations of each problem.
        tolerance: Largest change of the row scalings a of Eq. 5 in one iteration, summed over frames, at which a
            problem counts as solved. The change counts absolutely where 1 <= a <= 100, as with CLIP's cosines and the
            default epsilon; relative to a below; relative and times 100 above. For partial plans, the relative changes
            of both scalings are summed, times 100. (The released code compares the absolute mean over the whole batch,
            which couples the problems.)
        gradient: `detach`: the plan is a constant, as released. That is the exact gradient of the problem's optimal
            value, entropy included, by the envelope theorem, and an approximation of that of the score <P, cos>.
            `implicit`: the plan depends on cosines and epsilon, by implicit differentiation (exact for a converged
            plan, so lower the tolerance with it where that matters).

    Returns:
        (..., T, N).

    Raises:
        ValueError: If the input is not finite (checked on a CPU; on an accelerator the plan comes out NaN, since
            checking would make the host wait for it) or a parameter is out of range.

    Warns:
        TransportWarning: If problems have not converged (on a CPU; see `solve_transport` elsewhere).

    Example:
        Two frames, each like one of two descriptors; half of the mass goes to either descriptor.

        >>> cosines = torch.tensor([[0.5, 0.1], [0.2, 0.4]])
        >>> plan = transport_plan(cosines)
        >>> plan
        tensor([[0.4763, 0.0237],
                [0.0237, 0.4763]])
        >>> (plan * cosines).sum()
        tensor(0.4358)
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
    gradient: PlanGradient = "detach",
) -> TransportSolution:
    """Like `transport_plan`, but returns which problems converged, on any device, instead of warning."""
    _check(epsilon, max_iterations, tolerance)
    if cosines.ndim < 2 or 0 in cosines.shape[-2:]:
        raise ValueError(f"cosines must be (..., T, N) with T, N >= 1, not {tuple(cosines.shape)}")
    exact = cosines.to(torch.float64 if cosines.dtype == torch.float64 else torch.float32)
    if cosines.device.type == "cpu":
        _check_finite(exact)
    asked = problem.as_sinkhorn(exact, epsilon, max_iterations, tolerance)
    with torch.no_grad(), torch.autocast(cosines.device.type, enabled=False):
        solved = _solve(asked, rearrange(exact, "... t n -> t n (...)")).problems_first(cosines.shape)
    plan = solved.plan
    if gradient == "implicit" and torch.is_grad_enabled():
        plan = differentiable_plan(exact / epsilon, asked.marginals, solved)
    return TransportSolution(plan, solved.log_u, solved.log_v, solved.converged)


def _solve(problem: SinkhornProblem, cosines: Tensor) -> SinkhornResult:
    """Solves problems (T, N, P) by Triton's kernel where there is one, else by tensors."""
    if cosines.is_cuda and cosines.dtype == torch.float32 and _HAS_TRITON:
        from ost_lightning.matching.fused_sinkhorn import fits, solve_fused  # takes a second to import

        if fits(cosines):
            with torch.cuda.device(cosines.device):
                return solve_fused(problem, cosines)
    return solve_with_tensors(problem, cosines)


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


def _check(epsilon: float | Tensor, max_iterations: int, tolerance: float) -> None:
    # a learned epsilon is positive by construction, and looking at it would make the host wait for the device
    if not isinstance(epsilon, Tensor) and not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive, not {epsilon}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, not {max_iterations}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance}")
