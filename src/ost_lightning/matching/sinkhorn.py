"""Sinkhorn's iterations for uniform marginals that are exact, relaxed, or upper bounds: many small problems at once.

A plan is diag(a) K diag(b) with a kernel K. What is asked of the marginals only changes how the scalings a and b follow
from one another, so that one loop, with products or with logarithms, serves every problem of `transport_plan`.
"""

import math
import os
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

_CPU_CHUNK: Final = 1 << 17
"""Kernel entries that are iterated together on a CPU: what stays in its cache."""
_VECTOR: Final = 64
_SAFE_EXPONENT: Final = -60.0
"""Kernels whose logarithms stay above this are exponentiated in fp32; other problems are solved with logarithms."""
_ABSOLUTE_RANGE: Final = (1.0, 100.0)
"""Row scalings whose change counts absolutely; see the tolerance of `transport_plan`."""
_PARTIAL_WEIGHT: Final = 100.0
"""Of relative changes in partial problems, which creep towards their solution."""

_HAS_TRITON: Final = (
    find_spec("triton") is not None
    # which compiles its launchers
    and bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
)

_State = tuple[Tensor, Tensor, Tensor]
"""Row scalings (T, P), column scalings (N, P), and the row scalings' upper bound (P,), for partial plans only."""


@dataclass(frozen=True, slots=True)
class Marginals:
    """What the row and column sums of a plan are pulled to. Rows always have 1/T in mind, columns 1/N.

    Attributes:
        relaxation: Entropy's weight over that of the columns' KL penalty, > 0; columns are exact without one.
        mass: Total mass, if the marginals are upper bounds only.
    """

    relaxation: float | Tensor | None = None
    mass: float | None = None


class Scaled(NamedTuple):
    """Solved problems, the last dimension.

    Attributes:
        plan: (T, N, P).
        converged: bool (P,).
        free_rows: bool (T, P), rows of a partial plan that are below their bound.
        free_columns: bool (N, P), likewise.
    """

    plan: Tensor
    converged: Tensor
    free_rows: Tensor
    free_columns: Tensor


@dataclass(frozen=True, slots=True)
class Sinkhorn:
    """The problem, the iterations, and when they stop.

    Attributes:
        epsilon: Weight of the entropy, > 0.
        log_prior: (T, N), added to the kernel's logarithms.
        marginals: What is asked of the plan's sums.
        max_iterations: Of one problem.
        tolerance: See `transport_plan`.
    """

    epsilon: float | Tensor
    log_prior: Tensor | None
    marginals: Marginals
    max_iterations: int
    tolerance: float

    def solve(self, cosines: Tensor) -> Scaled:
        """Solves every problem by itself.

        On a CPU in chunks that fit the cache, by plain scaling where the kernel can be exponentiated; elsewhere with
        logarithms, all problems at once, and without asking the device for anything: in one kernel where there is
        Triton.

        Args:
            cosines: (T, N, P), of any strides.
        """
        if cosines.is_cuda and cosines.dtype == torch.float32 and _HAS_TRITON:
            from ost_lightning.matching.fused_sinkhorn import fits, solve_fused  # takes a second to import

            if fits(cosines):
                with torch.cuda.device(cosines.device):
                    return Scaled(*solve_fused(self, cosines))
        # problems last: the reductions over T and N are then vectorized across problems
        if cosines.device.type != "cpu":
            return self.solve_with_logarithms(*self._log_kernel(cosines.clone(memory_format=torch.contiguous_format)))
        cosines = cosines.contiguous()
        frames, descriptors, problems = cosines.shape
        size = max(_VECTOR, _CPU_CHUNK // (frames * descriptors) // _VECTOR * _VECTOR)
        solved = Scaled(
            cosines.new_empty(cosines.shape),
            *(torch.empty((*shape, problems), dtype=torch.bool) for shape in ((), (frames,), (descriptors,))),
        )
        for start in range(0, problems, size):
            chunk = self._solve_chunk(cosines[:, :, start : start + size])
            for whole, part in zip(solved, chunk, strict=True):
                whole[..., start : start + size] = part
        return solved

    def _log_kernel(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the kernel, (T, N, P), at most 0, and what has to be added to log a for that of Eq. 5, (P,).

        The cosines' memory becomes the kernel's.
        """
        # differences to the largest cosine are exact, so the kernel is too, whatever the cosines' scale
        largest = cosines.amax((0, 1))
        log_kernel = cosines.sub_(largest).div_(self.epsilon)
        if self.log_prior is not None:
            log_kernel += self.log_prior[..., None]
        return log_kernel, (1 - largest) / self.epsilon

    def _solve_chunk(self, cosines: Tensor) -> Scaled:
        # filled up to whole vectors, so that sums run in the same order for every problem
        problems = cosines.shape[2]
        log_kernel, offset = self._log_kernel(pad(cosines, (0, -problems % _VECTOR)))  # a copy, also without padding
        safe = log_kernel.amin((0, 1)) > _SAFE_EXPONENT
        if bool(safe.all()):
            return Scaled(*(part[..., :problems] for part in self.solve_by_scaling(log_kernel, offset)))
        solved = self.solve_by_scaling(torch.where(safe, log_kernel, 0), offset)
        # large logarithms lose too many digits in fp32
        hard = self.solve_with_logarithms(log_kernel[:, :, ~safe].double(), offset[~safe].double())
        for whole, part in zip(solved, hard, strict=True):
            whole[..., ~safe] = part.to(whole.dtype)
        return Scaled(*(part[..., :problems] for part in solved))

    def solve_by_scaling(self, log_kernel: Tensor, offset: Tensor) -> Scaled:
        """Alternates a <- mu / K b and b <- nu / K^T a (Eq. 5).

        Args:
            log_kernel: (T, N, P), at most 0; its memory is used up.
            offset: (P,), what has to be added to log a to give the scaling of Eq. 5.
        """
        frames, descriptors, problems = log_kernel.shape
        relaxation, mass = self.marginals.relaxation, self.marginals.mass
        kernel, scale = log_kernel.exp_(), offset.exp()
        resolution = torch.finfo(kernel.dtype).eps
        product = torch.empty_like(kernel)  # fresh memory for every product would cost more than the product

        def row_for(column: Tensor) -> Tensor:
            # N is small: adding up columns of K is twice as fast as a product and its sum
            total = kernel[:, 0] * column[0]
            for n in range(1, descriptors):
                total.addcmul_(kernel[:, n], column[n])
            return total.mul_(frames).reciprocal_()

        def update(state: _State) -> _State:
            _, column, bound = state
            row = row_for(column)
            if mass is not None:
                row = torch.minimum(row, bound)
            column = torch.mul(kernel, row[:, None], out=product).sum(0).mul_(descriptors).reciprocal_()
            if relaxation is not None:
                log_column = column.log() / (1 + relaxation)
                column = (log_column + _translation(log_column, relaxation)).exp()
            if mass is not None:
                column = column.clamp(max=1)
                growth = mass * frames / (row / row_for(column)).sum(0)
                row, bound = row * growth, bound * growth
            return row, column, bound

        def change(state: _State, before: _State) -> Tensor:
            if mass is not None:
                relative = torch.cat([(old / new - 1).abs() for old, new in zip(before[:2], state[:2], strict=True)])
                return self._weighted_change(relative, _PARTIAL_WEIGHT, resolution)
            weight = (state[0] * scale).clamp_(*_ABSOLUTE_RANGE)
            return self._weighted_change((before[0] / state[0]).sub_(1).abs_(), weight, resolution)

        bound = kernel.new_ones(problems) if mass is None else mass / kernel.sum((0, 1))
        start = kernel.new_ones(frames, problems), kernel.new_ones(descriptors, problems), bound
        (row, column, bound), converged = self._iterate(update, change, start)
        if relaxation is not None:
            row = row_for(column)  # the rows have the last word, since their sums are exact
        return self._scaled(kernel.mul_(column).mul_(row[:, None]), converged, row >= bound, column >= 1)

    def solve_with_logarithms(self, log_kernel: Tensor, offset: Tensor) -> Scaled:
        """The same with u = log a and v = log b, which neither over- nor underflow."""
        frames, descriptors, problems = log_kernel.shape
        relaxation, mass = self.marginals.relaxation, self.marginals.mass
        low, high = (math.log(bound) for bound in _ABSOLUTE_RANGE)

        def row_for(column: Tensor) -> Tensor:
            return -math.log(frames) - torch.logsumexp(log_kernel + column, 1)

        def update(state: _State) -> _State:
            _, column, bound = state
            row = row_for(column)
            if mass is not None:
                row = torch.minimum(row, bound)
            column = -math.log(descriptors) - torch.logsumexp(log_kernel + row[:, None], 0)
            if relaxation is not None:
                column = column / (1 + relaxation)
                column = column + _translation(column, relaxation)
            if mass is not None:
                column = column.clamp(max=0)
                growth = math.log(mass) - torch.logsumexp(row + torch.logsumexp(log_kernel + column, 1), 0)
                row, bound = row + growth, bound + growth
            return row, column, bound

        def change(state: _State, before: _State) -> Tensor:
            row = state[0]
            resolution = torch.finfo(row.dtype).eps * row.abs().amax(0).clamp(min=1)
            if mass is not None:
                relative = torch.cat(
                    [torch.expm1(old - new).abs() for old, new in zip(before[:2], state[:2], strict=True)]
                )
                return self._weighted_change(relative, _PARTIAL_WEIGHT, resolution)
            weight = (row + offset).clamp(low, high).exp()
            return self._weighted_change(torch.expm1(before[0] - row).abs(), weight, resolution)

        bound = log_kernel.new_zeros(problems)
        if mass is not None:
            bound = math.log(mass) - log_kernel.logsumexp((0, 1))
        start = log_kernel.new_zeros(frames, problems), log_kernel.new_zeros(descriptors, problems), bound
        (row, column, bound), converged = self._iterate(update, change, start)
        if relaxation is not None:
            row = row_for(column)
        return self._scaled((log_kernel + row[:, None] + column).exp(), converged, row >= bound, column >= 0)

    def _iterate(
        self, update: Callable[[_State], _State], change: Callable[[_State, _State], Tensor], state: _State
    ) -> tuple[_State, Tensor]:
        """Alternates until every problem has stopped; one that has stopped is left as it is."""
        done = torch.zeros(state[0].shape[-1], dtype=torch.bool, device=state[0].device)
        may_look = done.device.type == "cpu"  # elsewhere, that would make the host wait for the device
        stopped = 0
        for iteration in range(self.max_iterations):
            new = update(state)
            if iteration == 0:  # there is nothing to compare with
                state = new
                continue
            newly = change(new, state) < self.tolerance
            if stopped or not may_look:
                row, column, bound = (torch.where(done, old, fresh) for old, fresh in zip(state, new, strict=True))
                state = row, column, bound
            else:
                state = new
            done = done | newly
            if may_look:
                stopped = int(done.sum())
                if stopped == len(done):
                    break
        return state, done

    def _weighted_change(self, relative: Tensor, weight: Tensor | float, resolution: Tensor | float) -> Tensor:
        """Change of the scalings, (T, P) -> (P,); none where it is down to rounding."""
        change = relative.mul(weight).sum(0)
        if isinstance(resolution, float) and self.tolerance > 4 * resolution * len(relative) * _ABSOLUTE_RANGE[1]:
            return change  # rounding is no matter
        return torch.where(relative.amax(0) <= 4 * resolution, 0, change)

    def _scaled(self, plan: Tensor, converged: Tensor, free_rows: Tensor, free_columns: Tensor) -> Scaled:
        partial = self.marginals.mass is not None
        return Scaled(plan, converged, free_rows & partial, free_columns & partial)


def _translation(log_column: Tensor, relaxation: float | Tensor) -> Tensor:
    r"""What to add to all log b of a problem, (P,), so that the total mass is right.

    Iterations find this common part slowly under a strong KL penalty, although it is known: a solution has
    :math:`\frac{1}{N} \sum_n e^{-\kappa \log b_n} = 1` (Sejourne et al., AISTATS 2022).
    """
    middle = log_column.mean(0)
    return torch.log1p(torch.expm1(-relaxation * (log_column - middle)).mean(0)) / relaxation - middle
