"""Entropic optimal transport between the frames of a video and the descriptors of a class."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad

_CPU_CHUNK: Final = 1 << 17
"""Kernel entries that are iterated together on a CPU: what stays in its cache."""
_VECTOR: Final = 64
_SAFE_EXPONENT: Final = -60.0
"""Kernels whose logarithms stay above this are exponentiated in fp32; other problems are solved with logarithms."""
_ABSOLUTE_RANGE: Final = (1.0, 100.0)
"""Row scalings whose change counts absolutely; see the tolerance of `transport_plan`."""


class TransportWarning(RuntimeWarning):
    """Transport problems did not converge."""


@dataclass(frozen=True, slots=True)
class TransportSolution:
    """Plans and whether their iterations converged.

    Attributes:
        plan: (..., T, N), non-negative, columns sum to 1/N, rows to 1/T up to the tolerance.
        converged: bool (...).
    """

    plan: Tensor
    converged: Tensor


def transport_plan(
    cosines: Tensor, *, epsilon: float = 0.1, max_iterations: int = 100, tolerance: float = 1e-2
) -> Tensor:
    r"""The plan that carries frames to descriptors at least cost.

    Entropic optimal transport between uniform marginals (Eq. 3 and 11 of the paper; Cuturi, NeurIPS 2013),

    .. math:: P^* = \arg\min_P \sum_{tn} P_{tn} (1 - \cos_{tn}) - \epsilon H(P)

    .. math:: P 1_N = 1_T / T, \quad P^\top 1_T = 1_N / N, \quad P \ge 0,

    by Sinkhorn's iterations (Eq. 4 and 5). The plan is a constant for the gradient (envelope form, as released).
    Computed in fp32 (fp64 for fp64 input), also under autocast. Every problem stops on its own, so its plan does not
    depend on the others in the batch.

    Args:
        cosines: (..., T, N), finite; usually in [-1, 1], but any scale is solved exactly.
        epsilon: Weight of the entropy (lambda in the paper), > 0.
        max_iterations: Bound on the iterations of one problem.
        tolerance: A problem is done when the row scalings a of Eq. 5 change by less than this in one iteration, summed
            over frames. The change counts absolutely where 1 <= a <= 100, as with CLIP's cosines and the default
            epsilon; relatively below, in hundredths above. (The released code compares the absolute mean over the whole
            batch, which couples the problems.)

    Returns:
        (..., T, N), without gradient.

    Raises:
        ValueError: If the input is not finite (checked on a CPU; on an accelerator the plan comes out NaN, since
            looking would stall its queue) or a parameter is out of range.

    Warns:
        TransportWarning: If problems have not converged (on a CPU; see `solve_transport` elsewhere).
    """
    solution = solve_transport(cosines, epsilon=epsilon, max_iterations=max_iterations, tolerance=tolerance)
    return solution.plan


def solve_transport(
    cosines: Tensor, *, epsilon: float = 0.1, max_iterations: int = 100, tolerance: float = 1e-2
) -> TransportSolution:
    """Like `transport_plan`, and tells which problems converged, on any device."""
    _check(epsilon, max_iterations, tolerance)
    if cosines.ndim < 2 or 0 in cosines.shape[-2:]:
        raise ValueError(f"cosines must be (..., T, N) with T, N >= 1, not {tuple(cosines.shape)}")
    on_cpu = cosines.device.type == "cpu"
    if on_cpu and not bool(torch.isfinite(cosines).all()):
        count = int((~torch.isfinite(cosines)).sum())
        raise ValueError(
            f"{count} of {cosines.numel()} cosines are not finite: look for NaN in the weights or a learning rate "
            f"that is too high"
        )
    with torch.no_grad(), torch.autocast(cosines.device.type, enabled=False):
        # problems last: the reductions over T and N are then vectorised across problems
        exact = cosines.detach().to(torch.float64 if cosines.dtype == torch.float64 else torch.float32)
        # differences to the largest cosine are exact, so the kernel is too, whatever the cosines' scale
        largest = exact.amax((-2, -1), keepdim=True)
        log_kernel = rearrange((exact - largest) / epsilon, "... t n -> t n (...)").contiguous()
        solve = _solve_on_cpu if on_cpu else _solve_with_logarithms
        plan, converged = solve(log_kernel, ((1 - largest) / epsilon).flatten(), max_iterations, tolerance)
        solution = TransportSolution(plan.movedim(2, 0).reshape(cosines.shape), converged.reshape(cosines.shape[:-2]))
    if on_cpu and not bool(converged.all()):
        warnings.warn(
            f"{int((~converged).sum())} of {converged.numel()} transport problems have not converged after "
            f"{max_iterations} iterations: "
            f"raise max_iterations, epsilon ({epsilon:g}) or tolerance ({tolerance:g})",
            TransportWarning,
            stacklevel=3,
        )
    return solution


def _check(epsilon: float, max_iterations: int, tolerance: float) -> None:
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive, not {epsilon}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, not {max_iterations}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance}")


def _solve_on_cpu(log_kernel: Tensor, offset: Tensor, max_iterations: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Solves chunks that fit the cache, by plain scaling where the kernel can be exponentiated.

    Args:
        log_kernel: (T, N, P), at most 0.
        offset: (P,), what has to be added to log a to give the scaling of Eq. 5.
        max_iterations: Of one problem.
        tolerance: See `transport_plan`.

    Returns:
        Plan (T, N, P) and converged (P,).
    """
    safe = log_kernel.amin((0, 1)) > _SAFE_EXPONENT
    if bool(safe.all()):
        return _solve_in_chunks(log_kernel, offset, max_iterations, tolerance)
    plan, converged, hard = torch.empty_like(log_kernel), torch.empty_like(safe), ~safe
    easy = log_kernel[:, :, safe], offset[safe]
    plan[:, :, safe], converged[safe] = _solve_in_chunks(*easy, max_iterations, tolerance)
    # large logarithms lose too many digits in fp32
    exact = log_kernel[:, :, hard].double(), offset[hard].double()
    hard_plan, converged[hard] = _solve_with_logarithms(*exact, max_iterations, tolerance)
    plan[:, :, hard] = hard_plan.to(plan.dtype)
    return plan, converged


def _solve_in_chunks(
    log_kernel: Tensor, offset: Tensor, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Chunks that fit the cache, filled up to whole vectors: sums then run in the same order for every problem."""
    problems = log_kernel.shape[2]
    padding = (0, -problems % _VECTOR)
    log_kernel, offset = pad(log_kernel, padding), pad(offset, padding)
    size = max(_VECTOR, _CPU_CHUNK // (log_kernel.shape[0] * log_kernel.shape[1]) // _VECTOR * _VECTOR)
    parts = [
        _solve_by_scaling(part.contiguous(), shift, max_iterations, tolerance)
        for part, shift in zip(log_kernel.split(size, dim=2), offset.split(size), strict=True)
    ]
    plan, converged = torch.cat([plan for plan, _ in parts], 2), torch.cat([converged for _, converged in parts])
    return plan[:, :, :problems], converged[:problems]


def _solve_by_scaling(
    log_kernel: Tensor, offset: Tensor, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Alternates a <- mu / K b and b <- nu / K^T a (Eq. 5)."""
    frames, descriptors, problems = log_kernel.shape
    kernel, scale = log_kernel.exp(), offset.exp()

    def update(b: Tensor) -> tuple[Tensor, Tensor]:
        a = 1 / (frames * (kernel * b).sum(1))
        return a, 1 / (descriptors * (kernel * a[:, None]).sum(0))

    def change(a: Tensor, a_before: Tensor) -> Tensor:
        weight = (a * scale).clamp(*_ABSOLUTE_RANGE)
        return _weighted_change((a_before / a - 1).abs(), weight, torch.finfo(a.dtype).eps)

    start = kernel.new_ones(descriptors, problems), kernel.new_ones(frames, problems)
    a, b, converged = _iterate(update, change, *start, max_iterations, tolerance)
    return kernel * a[:, None] * b, converged


def _solve_with_logarithms(
    log_kernel: Tensor, offset: Tensor, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The same with u = log a and v = log b, which neither over- nor underflow."""
    frames, descriptors, problems = log_kernel.shape
    low, high = (math.log(bound) for bound in _ABSOLUTE_RANGE)

    def update(v: Tensor) -> tuple[Tensor, Tensor]:
        u = -math.log(frames) - torch.logsumexp(log_kernel + v, 1)
        return u, -math.log(descriptors) - torch.logsumexp(log_kernel + u[:, None], 0)

    def change(u: Tensor, u_before: Tensor) -> Tensor:
        weight = (u + offset).clamp(low, high).exp()
        resolution = torch.finfo(u.dtype).eps * u.abs().amax(0).clamp(min=1)
        return _weighted_change(torch.expm1(u_before - u).abs(), weight, resolution)

    start = log_kernel.new_zeros(descriptors, problems), log_kernel.new_zeros(frames, problems)
    u, v, converged = _iterate(update, change, *start, max_iterations, tolerance)
    return (log_kernel + u[:, None] + v).exp(), converged


def _weighted_change(relative: Tensor, weight: Tensor, resolution: Tensor | float) -> Tensor:
    """Change of the row scalings (T, P) -> (P,); none where it is down to rounding."""
    return torch.where(relative.amax(0) <= 4 * resolution, 0, (relative * weight).sum(0))


def _iterate(
    update: Callable[[Tensor], tuple[Tensor, Tensor]],
    change: Callable[[Tensor, Tensor], Tensor],
    column: Tensor,
    row: Tensor,
    max_iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Alternates until every problem has stopped; one that has stopped is left as it is.

    Returns:
        Row scalings (T, P), column scalings (N, P), converged (P,).
    """
    done = torch.zeros(column.shape[-1], dtype=torch.bool, device=column.device)
    may_stop_early = column.device.type == "cpu"  # elsewhere, asking would make the host wait for the device
    for _ in range(max_iterations):
        new_row, new_column = update(column)
        newly = change(new_row, row) < tolerance
        row, column = torch.where(done, row, new_row), torch.where(done, column, new_column)
        done = done | newly
        if may_stop_early and bool(done.all()):
            break
    return row, column, done
