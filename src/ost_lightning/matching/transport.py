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

from ost_lightning.errors import NonFiniteError
from ost_lightning.matching.plan_gradient import differentiable_plan
from ost_lightning.matching.sinkhorn import solve_with_tensors
from ost_lightning.matching.sinkhorn_problem import LogSums, SinkhornProblem, SinkhornResult
from ost_lightning.matching.transport_problem import BALANCED, TransportProblem

PlanGradient = Literal["detach", "implicit"]
"""How a plan enters the backward pass: as a constant, or by implicit differentiation."""

_HAS_TRITON: Final = (
    find_spec("triton") is not None
    # Triton compiles its launchers with a C compiler and Python's headers
    and bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
)


class TransportWarning(RuntimeWarning):
    """Warning that transport problems have not converged."""


@dataclass(frozen=True, slots=True)
class TransportSolution:
    """Plans, their dual variables, and whether the iterations converged.

    Attributes:
        plan: Mass from each frame to each descriptor, (..., T, N), non-negative. In a balanced plan, columns sum to
            1/N, and rows to 1/T up to the tolerance. With a relaxed marginal, rows sum to 1/T. In a partial plan, all
            entries sum to the mass, and columns and rows to at most 1/N and 1/T up to the tolerance. Frame marginals
            by confidence take the place of 1/T.
        log_u: Potentials of the frames over epsilon, (..., T).
        log_v: Potentials of the descriptors over epsilon, (..., N); the plan is
            exp(log_u + (cosines - 1) / epsilon + log_v), times the prior G of problems with an order.
        converged: Whether each problem converged, bool (...).
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
    r"""Returns the plan that transports frames to descriptors at the lowest cost.

    Entropic optimal transport between uniform marginals by default (Eq. 3 and 11 of the paper; Cuturi, NeurIPS 2013),

    .. math:: P^* = \mathrm{arg\,min}_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P)

    .. math:: P 1_N = 1_T / T, \quad P^\top 1_T = 1_N / N, \quad P \ge 0,

    by Sinkhorn's iterations (Eq. 4 and 5), or one of the variants of `TransportProblem`. The computation runs in fp32
    (fp64 for fp64 input), even under autocast. Each problem stops independently, so its plan does not depend on the
    rest of the batch.

    Args:
        cosines: Cosines between frames and descriptors, (..., T, N), finite. Usually in [-1, 1], but any scale is
            solved exactly.
        problem: Marginals and prior of the plan.
        epsilon: Weight of the entropy (lambda in the paper), > 0; a scalar tensor if it is learned.
        max_iterations: Upper bound on the iterations of each problem.
        tolerance: Upper bound on the change of the row scalings a of Eq. 5 in one iteration, summed over frames, below
            which a problem counts as solved. The change is absolute where 1 <= a <= 100, as with CLIP's cosines and the
            default epsilon. It is relative to a below this range, and 100 times the relative change above it. For
            partial plans, it is 100 times the sum of the relative changes of both scalings. (The released code uses
            the mean absolute change over the whole batch, which couples the problems.)
        gradient: Treatment of the plan in the backward pass. `detach`: a constant, as in the released code. By the
            envelope theorem this gives the exact gradient of the problem's optimal value, entropy included, and
            approximates that of the score <P, cos>. `implicit`: implicit differentiation with respect to cosines and
            epsilon, which is exact for a converged plan; lower the tolerance where that matters.

    Returns:
        Plan, (..., T, N).

    Raises:
        ValueError: If a parameter is out of range.
        NonFiniteError: If the input is not finite. This is checked on CPUs only, since a check on an accelerator would
            force a host-device synchronization; there, the plan is NaN.

    Warns:
        TransportWarning: If problems have not converged. On CPUs only; use `solve_transport` on other devices.

    Examples:
        Two frames, each similar to one of two descriptors; each descriptor receives half of the mass.

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
    """Works like `transport_plan`, but on any device returns which problems converged instead of warning."""
    _check(epsilon, max_iterations, tolerance)
    if cosines.ndim < 2 or 0 in cosines.shape[-2:]:
        raise ValueError(f"cosines must be (..., T, N) with T, N >= 1, not {tuple(cosines.shape)}")
    exact = cosines.to(torch.float64 if cosines.dtype == torch.float64 else torch.float32)
    if cosines.device.type == "cpu":
        _check_finite(exact)
    sinkhorn_problem = problem.as_sinkhorn(exact, epsilon, max_iterations, tolerance)
    log_rows = problem.log_frame_marginal(exact)
    with torch.no_grad(), torch.autocast(cosines.device.type, enabled=False):
        sums = LogSums(None if log_rows is None else rearrange(log_rows, "... t -> t (...)"))
        found = _solve(sinkhorn_problem, rearrange(exact, "... t n -> t n (...)"), sums)
        solved = found.problems_first(cosines.shape)
    plan = solved.plan
    if gradient == "implicit" and torch.is_grad_enabled():
        plan = differentiable_plan(exact / epsilon, sinkhorn_problem.marginals, solved, log_rows)
    return TransportSolution(plan, solved.log_u, solved.log_v, solved.converged)


def _solve(problem: SinkhornProblem, cosines: Tensor, sums: LogSums) -> SinkhornResult:
    """Solves problems (T, N, P) with the Triton kernel if it is available and they suit it, otherwise with tensors."""
    if cosines.is_cuda and cosines.dtype == torch.float32 and sums.are_uniform and _HAS_TRITON:
        from ost_lightning.matching.fused_sinkhorn import fits, solve_fused  # takes a second to import

        if fits(cosines):
            with torch.cuda.device(cosines.device):
                return solve_fused(problem, cosines)
    return solve_with_tensors(problem, cosines, sums)


def _check_finite(cosines: Tensor) -> None:
    # a sum is fast and not finite if an entry is not, though it may also overflow
    if bool(torch.isfinite(cosines.detach().sum())):
        return
    count = int((~torch.isfinite(cosines)).sum())
    if count:
        raise NonFiniteError(
            f"{count} of {cosines.numel()} cosines are not finite: check for NaN in the weights, or lower the "
            "learning rate."
        )


def _check(epsilon: float | Tensor, max_iterations: int, tolerance: float) -> None:
    # a learned epsilon is positive by construction, and reading it would force a host-device synchronization
    if not isinstance(epsilon, Tensor) and not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive, not {epsilon}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, not {max_iterations}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance}")
