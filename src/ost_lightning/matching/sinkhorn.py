"""Sinkhorn's iterations in PyTorch operations: many small problems at once, on any device.

A plan is diag(u) K diag(v) with the Gibbs kernel K. The constraints on its marginals only change how the scalings u and
v are updated from one another. One loop therefore handles every problem of `transport_plan`, in either of two domains.
"""

import math
from operator import itemgetter
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from ost_lightning.matching.scaling_domains import Domain, KernelDomain, LogDomain, LogKernel, log_kernel
from ost_lightning.matching.sinkhorn_problem import (
    PARTIAL_WEIGHT,
    LogSums,
    SinkhornProblem,
    SinkhornResult,
    has_stopped,
)

_CPU_CHUNK: Final = 1 << 17
"""Number of kernel entries that are iterated together on a CPU; they fit its cache."""
_VECTOR: Final = 64
"""Multiple to which the number of problems in a chunk is padded."""
_SAFE_EXPONENT: Final = -60.0
"""Smallest log-kernel entry for which a problem is solved in the kernel domain in fp32."""

_State = tuple[Tensor, Tensor, Tensor]
"""Row scalings u (T, P), column scalings v (N, P), and the upper bound of u (P,), which only partial plans use."""


def solve_with_tensors(problem: SinkhornProblem, cosines: Tensor, sums: LogSums = LogSums()) -> SinkhornResult:
    """Solves each problem independently of the others.

    On a CPU, problems are solved in chunks that fit its cache, in the kernel domain unless the kernel underflows. On
    other devices, they are solved in the log domain, all at once, without host-device synchronization.

    Args:
        problem: Settings of the problems.
        cosines: Cosines of the problems, fp32 or fp64 (T, N, P), with any strides.
        sums: Row and column sums of the plans, in the precision of the cosines.
    """
    # problems last: the reductions over T and N are then vectorized across problems
    if cosines.device.type != "cpu":
        return solve_in_log_domain(problem, log_kernel(problem, cosines, sums))
    cosines = cosines.contiguous()
    frames, descriptors, problems = cosines.shape
    size = max(_VECTOR, _CPU_CHUNK // (frames * descriptors) // _VECTOR * _VECTOR)
    rows, columns = (frames, problems), (descriptors, problems)
    solved = SinkhornResult(
        *(cosines.new_empty(shape) for shape in (cosines.shape, rows, columns)),
        *(cosines.new_empty(shape, dtype=torch.bool) for shape in ((problems,), rows, columns)),
    )
    for start in range(0, problems, size):
        part = slice(start, start + size)
        chunk = _solve_chunk(problem, cosines[..., part], sums.apply(itemgetter((..., part))))
        for all_problems, some in zip(solved, chunk, strict=True):
            all_problems[..., part] = some
    return solved


def _solve_chunk(problem: SinkhornProblem, cosines: Tensor, sums: LogSums) -> SinkhornResult:
    # padded to full vectors, so that sums run in the same order for every problem
    problems = cosines.shape[2]
    if padding := -problems % _VECTOR:
        cosines = pad(cosines, (0, padding))
        sums = sums.apply(lambda logarithms: pad(logarithms, (0, padding), value=-math.log(len(logarithms))))
    values, offset, _ = log_kernel(problem, cosines)
    safe = values.amin((0, 1)) > _SAFE_EXPONENT
    if bool(safe.all()):
        solved = solve_in_kernel_domain(problem, LogKernel(values, offset, sums))
        return SinkhornResult(*(part[..., :problems] for part in solved))
    solved = solve_in_kernel_domain(problem, LogKernel(torch.where(safe, values, 0), offset, sums))
    # logarithms of large magnitude lose too many digits in fp32
    rest = sums.apply(lambda logarithms: logarithms[:, ~safe].double())
    hard = solve_in_log_domain(problem, LogKernel(values[:, :, ~safe].double(), offset[~safe].double(), rest))
    for merged, part in zip(solved, hard, strict=True):
        merged[..., ~safe] = part.to(merged.dtype)
    return SinkhornResult(*(part[..., :problems] for part in solved))


def solve_in_kernel_domain(problem: SinkhornProblem, kernel: LogKernel) -> SinkhornResult:
    """Alternates u <- 1 / (T K v) and v <- 1 / (N K^T u) (Eq. 5), and overwrites the kernel."""
    return _solve(problem, KernelDomain(kernel))


def solve_in_log_domain(problem: SinkhornProblem, kernel: LogKernel) -> SinkhornResult:
    """Alternates the same updates of log u and log v."""
    return _solve(problem, LogDomain(kernel))


def _solve(problem: SinkhornProblem, domain: Domain) -> SinkhornResult:
    ratio, mass = problem.marginals.epsilon_over_rho, problem.marginals.mass
    u, v, bound = (
        torch.full((*size, domain.problems), domain.identity, dtype=domain.kernel.dtype, device=domain.kernel.device)
        for size in ((domain.frames,), (domain.descriptors,), ())
    )
    (u, v, bound), converged = _iterate(problem, domain, (u, v, bound if mass is None else domain.bound(mass)))
    if ratio is not None:
        u = domain.rows(v)  # rows are updated last, since their sums are exact
    partial = mass is not None
    slack_rows, slack_columns = (u >= bound) & partial, (v >= domain.identity) & partial
    log_u, log_v = domain.logarithm(u) + domain.offset, domain.logarithm(v)
    return SinkhornResult(domain.plan(u, v), log_u, log_v, converged, slack_rows, slack_columns)


def _iterate(problem: SinkhornProblem, domain: Domain, state: _State) -> tuple[_State, Tensor]:
    """Iterates until every problem has stopped; stopped problems no longer change."""
    done = torch.zeros(domain.problems, dtype=torch.bool, device=state[0].device)
    on_cpu = done.device.type == "cpu"  # elsewhere, counting would force a host-device synchronization
    stopped = 0
    for iteration in range(problem.max_iterations):
        new = _update(problem, domain, state)
        if iteration == 0:  # there is no previous iteration to compare with
            state = new
            continue
        stopped_now = _has_stopped(problem, domain, new, state)
        if stopped or not on_cpu:
            u, v, bound = (torch.where(done, old, fresh) for old, fresh in zip(state, new, strict=True))
            state = u, v, bound
        else:
            state = new
        done = done | stopped_now
        if on_cpu:
            stopped = int(done.sum())
            if stopped == len(done):
                break
    return state, done


def _update(problem: SinkhornProblem, domain: Domain, state: _State) -> _State:
    ratio, mass = problem.marginals.epsilon_over_rho, problem.marginals.mass
    _, v, bound = state
    u = domain.rows(v)
    if mass is not None:
        u = torch.minimum(u, bound)
    v = domain.columns(u)
    if ratio is not None:
        v = domain.relax(v, ratio)
    if mass is not None:
        v = v.clamp(max=domain.identity)
        growth = domain.growth(u, v, mass)
        u, bound = domain.multiply(u, growth), domain.multiply(bound, growth)
    return u, v, bound


def _has_stopped(problem: SinkhornProblem, domain: Domain, new: _State, old: _State) -> Tensor:
    resolution = domain.resolution(new[0])
    if problem.marginals.mass is not None:
        relative = torch.cat([domain.relative_change(*pair) for pair in zip(old[:2], new[:2], strict=True)])
        return has_stopped(relative, PARTIAL_WEIGHT, resolution, problem.tolerance)
    relative = domain.relative_change(old[0], new[0])
    return has_stopped(relative, domain.row_weights(new[0]), resolution, problem.tolerance)
