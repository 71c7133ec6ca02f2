"""Sinkhorn's iterations in the log domain as one GPU kernel that keeps a problem's state in registers.

Problems are small (32 frames, 4 descriptors), and there are thousands of them. The tensor version spends its time on a
GPU launching about thirty kernels per iteration. Here a single kernel runs all iterations, and a program ends once all
its problems have stopped. Requires Triton, which PyTorch's CUDA builds include.
"""

import math
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from ost_lightning.matching.sinkhorn_problem import (
    ABSOLUTE_RANGE,
    PARTIAL_WEIGHT,
    ROUNDING,
    SinkhornProblem,
    SinkhornResult,
)

_LARGEST: Final = 1 << 13
"""Largest number of entries of a padded Gibbs kernel that fits the registers of one program."""
_WARP_ENTRIES: Final = 512
"""Entries of Gibbs kernels per warp."""
_LOG_ZERO: Final = tl.constexpr(-1e30)
"""Logarithm of entries outside a problem; finite, so that differences are finite too."""

# constants of the stopping rule, in the form that a kernel can read
_LOG_LOW: Final = tl.constexpr(math.log(ABSOLUTE_RANGE[0]))
_LOG_HIGH: Final = tl.constexpr(math.log(ABSOLUTE_RANGE[1]))
_PARTIAL_WEIGHT: Final = tl.constexpr(PARTIAL_WEIGHT)
_ROUNDING: Final = tl.constexpr(ROUNDING * torch.finfo(torch.float32).eps)


def fits(cosines: Tensor) -> bool:
    """Returns whether problems (T, N, P) are small enough for the GPU kernel."""
    return math.prod(_padded(cosines)) <= _LARGEST


def _padded(cosines: Tensor) -> list[int]:
    """Returns the numbers of frames and descriptors, rounded up to the powers of two that Triton requires."""
    return [triton.next_power_of_2(size) for size in cosines.shape[:2]]


def solve_fused(problem: SinkhornProblem, cosines: Tensor) -> SinkhornResult:
    """Solves each problem independently of the others.

    Args:
        problem: Settings of the problems.
        cosines: Cosines of the problems, fp32 (T, N, P) with any strides, on the current GPU.
    """
    frames, descriptors, problems = cosines.shape
    padded = _padded(cosines)
    entries = math.prod(padded)
    block = max(1, _WARP_ENTRIES // entries)
    ratio, mass = problem.marginals.epsilon_over_rho, problem.marginals.mass
    rows, columns = (problems, frames), (problems, descriptors)
    plan, log_u, log_v = (cosines.new_empty(shape) for shape in ((problems, frames, descriptors), rows, columns))
    converged = cosines.new_empty(problems, dtype=torch.uint8)
    slack = [
        cosines.new_empty(shape, dtype=torch.uint8) if mass is not None else converged.new_zeros(()).expand(shape)
        for shape in (rows, columns)
    ]

    def on_device(value: float | Tensor | None) -> Tensor:
        """Returns a number as a tensor on the device, without reading device tensors on the host."""
        if isinstance(value, Tensor):
            return value.detach().to(cosines)
        return torch.full((), 0.0 if value is None else value, dtype=cosines.dtype, device=cosines.device)

    _sinkhorn[triton.cdiv(problems, block),](
        cosines,
        *cosines.stride(),
        cosines if problem.log_prior is None else problem.log_prior.contiguous(),
        on_device(problem.epsilon),
        on_device(ratio),
        0.0 if mass is None else math.log(mass),
        math.log(frames),
        math.log(descriptors),
        plan,
        log_u,
        log_v,
        converged,
        *slack,
        problems,
        problem.max_iterations,
        problem.tolerance,
        frames,
        descriptors,
        *padded,
        block,
        problem.log_prior is not None,
        ratio is not None,
        mass is not None,
        num_warps=max(1, min(16, block * entries // _WARP_ENTRIES)),
    )
    slack_rows, slack_columns = (part.mT.bool() for part in slack)
    return SinkhornResult(plan.permute(1, 2, 0), log_u.mT, log_v.mT, converged.bool(), slack_rows, slack_columns)


@triton.jit
def _log_sum_exp(values: tl.tensor, axis: tl.constexpr) -> tl.tensor:
    largest = tl.max(values, axis, keep_dims=True)
    return tl.log(tl.sum(tl.exp(values - largest), axis, keep_dims=True)) + largest


@triton.jit
def _expm1(x: tl.tensor) -> tl.tensor:
    # near 0, subtracting 1 from the hardware's exponential cancels all digits
    series = x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7))))))
    return tl.where(tl.abs(x) < 0.3, series, tl.exp(x) - 1)


@triton.jit
def _log1p(x: tl.tensor) -> tl.tensor:
    s = x / (2 + x)
    q = s * s
    series = 2 * s * (1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q / 9))))
    return tl.where(tl.abs(x) < 0.3, series, tl.log(1 + x))


@triton.jit
def _sinkhorn(
    cosines: tl.tensor,
    stride_t: tl.tensor,
    stride_n: tl.tensor,
    stride_p: tl.tensor,
    log_prior: tl.tensor,
    epsilon_at: tl.tensor,
    ratio_at: tl.tensor,
    log_mass: tl.tensor,
    log_t: tl.tensor,
    log_n: tl.tensor,
    plan: tl.tensor,
    log_u_at: tl.tensor,
    log_v_at: tl.tensor,
    converged: tl.tensor,
    slack_rows: tl.tensor,
    slack_columns: tl.tensor,
    problems: tl.tensor,
    max_iterations: tl.tensor,
    tolerance: tl.tensor,
    T: tl.constexpr,
    N: tl.constexpr,
    T_PADDED: tl.constexpr,
    N_PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    PRIOR: tl.constexpr,
    RELAXED: tl.constexpr,
    PARTIAL: tl.constexpr,
) -> None:
    # all blocks are (problems, frames, descriptors), with size 1 in reduced dimensions
    problem = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None, None]
    t, n = tl.arange(0, T_PADDED)[None, :, None], tl.arange(0, N_PADDED)[None, None, :]
    valid = problem < problems
    inside = valid & (t < T) & (n < N)
    epsilon, ratio = tl.load(epsilon_at), tl.load(ratio_at)

    cosine = tl.load(cosines + problem * stride_p + t * stride_t + n * stride_n, mask=inside, other=0.0)
    masked = tl.where(inside, cosine, _LOG_ZERO)
    largest = tl.max(tl.max(masked, 2, keep_dims=True), 1, keep_dims=True)
    kernel = (cosine - largest) / epsilon
    if PRIOR:
        kernel += tl.load(log_prior + t * N + n, mask=(t < T) & (n < N), other=0.0)
    kernel = tl.where(inside, kernel, _LOG_ZERO)
    offset = (1 - largest) / epsilon

    bound = tl.zeros((BLOCK, 1, 1), tl.float32)
    if PARTIAL:
        bound = log_mass - _log_sum_exp(_log_sum_exp(kernel, 2), 1)
    log_u = tl.zeros((BLOCK, T_PADDED, 1), tl.float32)
    log_v = tl.zeros((BLOCK, 1, N_PADDED), tl.float32)
    done = problem >= problems
    iteration = 0
    unfinished = 1
    while (iteration < max_iterations) & (unfinished > 0):
        # padded rows must carry no mass, and padded columns must remain finite
        new_log_u = tl.where(t < T, -log_t - _log_sum_exp(kernel + log_v, 2), _LOG_ZERO)
        if PARTIAL:
            new_log_u = tl.minimum(new_log_u, bound)
        new_log_v = tl.where(n < N, -log_n - _log_sum_exp(kernel + new_log_u, 1), 0.0)
        new_bound = bound
        if RELAXED:
            new_log_v = new_log_v / (1 + ratio)
            mean = tl.sum(new_log_v, 2, keep_dims=True) / N
            spread = tl.where(n < N, _expm1(-ratio * (new_log_v - mean)), 0.0)
            translation = _log1p(tl.sum(spread, 2, keep_dims=True) / N) / ratio - mean
            new_log_v = tl.where(n < N, new_log_v + translation, 0.0)
        if PARTIAL:
            new_log_v = tl.minimum(new_log_v, 0.0)
            log_row_mass = _log_sum_exp(kernel + new_log_v, 2)
            growth = log_mass - _log_sum_exp(tl.where(t < T, new_log_u + log_row_mass, _LOG_ZERO), 1)
            new_log_u = tl.where(t < T, new_log_u + growth, _LOG_ZERO)
            new_bound = bound + growth

        moved_u = tl.where(t < T, tl.abs(_expm1(log_u - new_log_u)), 0.0)
        size = tl.max(tl.where(t < T, tl.abs(new_log_u), 0.0), 1, keep_dims=True)
        resolution = _ROUNDING * tl.maximum(size, 1.0)
        largest_change = tl.max(moved_u, 1, keep_dims=True)
        if PARTIAL:
            moved_v = tl.where(n < N, tl.abs(_expm1(log_v - new_log_v)), 0.0)
            largest_change = tl.maximum(largest_change, tl.max(moved_v, 2, keep_dims=True))
            change = _PARTIAL_WEIGHT * (tl.sum(moved_u, 1, keep_dims=True) + tl.sum(moved_v, 2, keep_dims=True))
        else:
            weight = tl.exp(tl.minimum(tl.maximum(new_log_u + offset, _LOG_LOW), _LOG_HIGH))
            change = tl.sum(moved_u * weight, 1, keep_dims=True)
        change = tl.where(largest_change <= resolution, 0.0, change)
        log_u = tl.where(done, log_u, new_log_u)
        log_v = tl.where(done, log_v, new_log_v)
        bound = tl.where(done, bound, new_bound)
        done = done | ((change < tolerance) & (iteration > 0))
        unfinished = tl.sum(tl.where(done, 0, 1))
        iteration += 1

    if RELAXED:  # rows are updated last, since their sums are exact
        log_u = tl.where(t < T, -log_t - _log_sum_exp(kernel + log_v, 2), _LOG_ZERO)
    tl.store(plan + (problem * T + t) * N + n, tl.exp(kernel + log_u + log_v), mask=inside)
    tl.store(log_u_at + problem * T + t, log_u + offset, mask=valid & (t < T))
    tl.store(log_v_at + problem * N + n, log_v, mask=valid & (n < N))
    tl.store(converged + problem, done.to(tl.uint8), mask=valid)
    if PARTIAL:
        tl.store(slack_rows + problem * T + t, (log_u >= bound).to(tl.uint8), mask=valid & (t < T))
        tl.store(slack_columns + problem * N + n, (log_v >= 0).to(tl.uint8), mask=valid & (n < N))
