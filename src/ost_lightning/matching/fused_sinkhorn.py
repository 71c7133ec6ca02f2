"""The iterations of `Sinkhorn.solve_with_logarithms` as one GPU kernel, with a problem's state in registers.

A problem is small (32 frames, 4 descriptors), and there are thousands: what takes the time of the tensor version on a
GPU is starting its kernels, some thirty an iteration. Here there is one for everything, and programs whose problems
have all stopped end. Needs Triton, which comes with PyTorch's CUDA builds.
"""

import math
from typing import TYPE_CHECKING, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from ost_lightning.matching.sinkhorn import Sinkhorn

_LARGEST: Final = 1 << 13
"""Entries of a padded kernel beyond which a problem doesn't fit the registers of one program."""
_PROGRAM: Final = 512
"""Entries that one warp holds."""
_NOWHERE: Final = tl.constexpr(-1e30)
"""Logarithm of what stands for nothing; finite, so that differences are."""
_LOG_WEIGHT: Final = tl.constexpr(math.log(100))
"""Of the largest weight of a row's change; see the tolerance of `transport_plan`."""


def fits(cosines: Tensor) -> bool:
    """Whether problems (T, N, P) are small enough."""
    return math.prod(_padded(cosines)) <= _LARGEST


def _padded(cosines: Tensor) -> list[int]:
    """Frames and descriptors as the kernel has them."""
    return [triton.next_power_of_2(size) for size in cosines.shape[:2]]


def solve_fused(sinkhorn: "Sinkhorn", cosines: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Solves every problem by itself.

    Args:
        sinkhorn: The problem and when its iterations stop.
        cosines: fp32 (T, N, P) of any strides.

    Returns:
        As `Scaled`: plan, converged, free_rows, free_columns.
    """
    frames, descriptors, problems = cosines.shape
    padded = _padded(cosines)
    entries = math.prod(padded)
    block = max(1, _PROGRAM // entries)
    marginals = sinkhorn.marginals
    partial = marginals.mass is not None
    plan = torch.empty((problems, frames, descriptors), dtype=cosines.dtype, device=cosines.device)
    converged = torch.empty(problems, dtype=torch.uint8, device=cosines.device)
    free = [
        torch.empty((problems, size), dtype=torch.uint8, device=cosines.device)
        if partial
        else converged.new_zeros(()).expand(problems, size)
        for size in (frames, descriptors)
    ]

    def on_device(value: float | Tensor | None) -> Tensor:
        """A number that may be a tensor there already, which the host must not read."""
        if isinstance(value, Tensor):
            return value.detach().to(cosines)
        return torch.full((), 0.0 if value is None else value, dtype=cosines.dtype, device=cosines.device)

    _sinkhorn[triton.cdiv(problems, block),](
        cosines,
        *cosines.stride(),
        cosines if sinkhorn.log_prior is None else sinkhorn.log_prior.contiguous(),
        on_device(sinkhorn.epsilon),
        on_device(marginals.relaxation),
        math.log(marginals.mass) if marginals.mass is not None else 0.0,
        math.log(frames),
        math.log(descriptors),
        plan,
        converged,
        *free,
        problems,
        sinkhorn.max_iterations,
        sinkhorn.tolerance,
        frames,
        descriptors,
        *padded,
        block,
        sinkhorn.log_prior is not None,
        marginals.relaxation is not None,
        partial,
        num_warps=max(1, min(16, block * entries // _PROGRAM)),
    )
    rows, columns = (part.mT.bool() for part in free)
    return plan.permute(1, 2, 0), converged.bool(), rows, columns


@triton.jit
def _log_sum_exp(values: tl.tensor, axis: tl.constexpr) -> tl.tensor:
    largest = tl.max(values, axis, keep_dims=True)
    return tl.log(tl.sum(tl.exp(values - largest), axis, keep_dims=True)) + largest


@triton.jit
def _expm1(x: tl.tensor) -> tl.tensor:
    # the hardware's exponential minus 1 has no digits left where x is small
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
    relaxation_at: tl.tensor,
    log_mass: tl.tensor,
    log_t: tl.tensor,
    log_n: tl.tensor,
    plan: tl.tensor,
    converged: tl.tensor,
    free_rows: tl.tensor,
    free_columns: tl.tensor,
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
    # everything is (problems, frames, descriptors), with 1 where a dimension is summed out
    problem = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None, None]
    t, n = tl.arange(0, T_PADDED)[None, :, None], tl.arange(0, N_PADDED)[None, None, :]
    there = problem < problems
    inside = there & (t < T) & (n < N)
    epsilon, relaxation = tl.load(epsilon_at), tl.load(relaxation_at)

    given = tl.load(cosines + problem * stride_p + t * stride_t + n * stride_n, mask=inside, other=0.0)
    known = tl.where(inside, given, _NOWHERE)
    largest = tl.max(tl.max(known, 2, keep_dims=True), 1, keep_dims=True)
    kernel = (given - largest) / epsilon
    if PRIOR:
        kernel += tl.load(log_prior + t * N + n, mask=(t < T) & (n < N), other=0.0)
    kernel = tl.where(inside, kernel, _NOWHERE)
    offset = (1 - largest) / epsilon

    bound = tl.zeros((BLOCK, 1, 1), tl.float32)
    if PARTIAL:
        bound = log_mass - _log_sum_exp(_log_sum_exp(kernel, 2), 1)
    row = tl.zeros((BLOCK, T_PADDED, 1), tl.float32)
    column = tl.zeros((BLOCK, 1, N_PADDED), tl.float32)
    done = problem >= problems
    iteration = 0
    unfinished = 1
    while (iteration < max_iterations) & (unfinished > 0):
        # padded rows must not carry mass, and padded columns, which reach nothing, must stay finite
        new_row = tl.where(t < T, -log_t - _log_sum_exp(kernel + column, 2), _NOWHERE)
        if PARTIAL:
            new_row = tl.minimum(new_row, bound)
        new_column = tl.where(n < N, -log_n - _log_sum_exp(kernel + new_row, 1), 0.0)
        new_bound = bound
        if RELAXED:
            new_column = new_column / (1 + relaxation)
            middle = tl.sum(new_column, 2, keep_dims=True) / N
            spread = tl.where(n < N, _expm1(-relaxation * (new_column - middle)), 0.0)
            translation = _log1p(tl.sum(spread, 2, keep_dims=True) / N) / relaxation - middle
            new_column = tl.where(n < N, new_column + translation, 0.0)
        if PARTIAL:
            new_column = tl.minimum(new_column, 0.0)
            carried = _log_sum_exp(kernel + new_column, 2)
            growth = log_mass - _log_sum_exp(tl.where(t < T, new_row + carried, _NOWHERE), 1)
            new_row = tl.where(t < T, new_row + growth, _NOWHERE)
            new_bound = bound + growth

        moved = tl.where(t < T, tl.abs(_expm1(row - new_row)), 0.0)
        size = tl.max(tl.where(t < T, tl.abs(new_row), 0.0), 1, keep_dims=True)
        resolution = 4 * 1.1920929e-07 * tl.maximum(size, 1.0)
        furthest = tl.max(moved, 1, keep_dims=True)
        if PARTIAL:
            moved_column = tl.where(n < N, tl.abs(_expm1(column - new_column)), 0.0)
            furthest = tl.maximum(furthest, tl.max(moved_column, 2, keep_dims=True))
            change = 100 * (tl.sum(moved, 1, keep_dims=True) + tl.sum(moved_column, 2, keep_dims=True))
        else:
            weight = tl.exp(tl.minimum(tl.maximum(new_row + offset, 0.0), _LOG_WEIGHT))
            change = tl.sum(moved * weight, 1, keep_dims=True)
        change = tl.where(furthest <= resolution, 0.0, change)
        row = tl.where(done, row, new_row)
        column = tl.where(done, column, new_column)
        bound = tl.where(done, bound, new_bound)
        done = done | ((change < tolerance) & (iteration > 0))
        unfinished = tl.sum(tl.where(done, 0, 1))
        iteration += 1

    if RELAXED:  # the rows have the last word, since their sums are exact
        row = tl.where(t < T, -log_t - _log_sum_exp(kernel + column, 2), _NOWHERE)
    tl.store(plan + (problem * T + t) * N + n, tl.exp(kernel + row + column), mask=inside)
    tl.store(converged + problem, done.to(tl.uint8), mask=there)
    if PARTIAL:
        tl.store(free_rows + problem * T + t, (row >= bound).to(tl.uint8), mask=there & (t < T))
        tl.store(free_columns + problem * N + n, (column >= 0).to(tl.uint8), mask=there & (n < N))
