"""Sinkhorn's iterations for uniform marginals that are exact, relaxed, or upper bounds: many small problems at once.

A plan is diag(a) K diag(b) with a kernel K. What is asked of the marginals only changes how the scalings a and b follow
from one another, so that one loop, with products or with logarithms, serves every problem of `transport_plan`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
    """The iterations and when they stop.

    Attributes:
        marginals: What is asked of the plan's sums.
        max_iterations: Of one problem.
        tolerance: See `transport_plan`.
    """

    marginals: Marginals
    max_iterations: int
    tolerance: float

    def solve(self, log_kernel: Tensor, offset: Tensor) -> Scaled:
        """Solves every problem by itself.

        On a CPU in chunks that fit the cache, by plain scaling where the kernel can be exponentiated; elsewhere with
        logarithms, all problems at once, and without asking the device for anything.

        Args:
            log_kernel: (T, N, P), at most 0.
            offset: (P,), what has to be added to log a to give the scaling of Eq. 5.
        """
        if log_kernel.device.type != "cpu":
            return self.solve_with_logarithms(log_kernel, offset)
        safe = log_kernel.amin((0, 1)) > _SAFE_EXPONENT
        if bool(safe.all()):
            return self._solve_in_chunks(log_kernel, offset)
        easy = self._solve_in_chunks(log_kernel[:, :, safe], offset[safe])
        # large logarithms lose too many digits in fp32
        hard = self.solve_with_logarithms(log_kernel[:, :, ~safe].double(), offset[~safe].double())
        solved = Scaled(*(part.new_empty((*part.shape[:-1], len(safe))) for part in easy))
        for whole, easy_part, hard_part in zip(solved, easy, hard, strict=True):
            whole[..., safe], whole[..., ~safe] = easy_part, hard_part.to(whole.dtype)
        return solved

    def solve_by_scaling(self, log_kernel: Tensor, offset: Tensor) -> Scaled:
        """Alternates a <- mu / K b and b <- nu / K^T a (Eq. 5)."""
        frames, descriptors, problems = log_kernel.shape
        relaxation, mass = self.marginals.relaxation, self.marginals.mass
        kernel, scale = log_kernel.exp(), offset.exp()

        def row_for(column: Tensor) -> Tensor:
            return 1 / (frames * (kernel * column).sum(1))

        def update(state: _State) -> _State:
            _, column, bound = state
            row = row_for(column)
            if mass is not None:
                row = torch.minimum(row, bound)
            column = 1 / (descriptors * (kernel * row[:, None]).sum(0))
            if relaxation is not None:
                log_column = column.log() / (1 + relaxation)
                column = (log_column + _translation(log_column, relaxation)).exp()
            if mass is not None:
                column = column.clamp(max=1)
                growth = mass / (row * (kernel * column).sum(1)).sum(0)
                row, bound = row * growth, bound * growth
            return row, column, bound

        def change(state: _State, before: _State) -> Tensor:
            if mass is not None:
                relative = torch.cat([(old / new - 1).abs() for old, new in zip(before[:2], state[:2], strict=True)])
                return _weighted_change(relative, _PARTIAL_WEIGHT, torch.finfo(kernel.dtype).eps)
            weight = (state[0] * scale).clamp(*_ABSOLUTE_RANGE)
            return _weighted_change((before[0] / state[0] - 1).abs(), weight, torch.finfo(kernel.dtype).eps)

        bound = kernel.new_ones(problems) if mass is None else mass / kernel.sum((0, 1))
        start = kernel.new_ones(frames, problems), kernel.new_ones(descriptors, problems), bound
        (row, column, bound), converged = self._iterate(update, change, start)
        if relaxation is not None:
            row = row_for(column)  # the rows have the last word, since their sums are exact
        return self._scaled(kernel * row[:, None] * column, converged, row >= bound, column >= 1)

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
                return _weighted_change(relative, _PARTIAL_WEIGHT, resolution)
            weight = (row + offset).clamp(low, high).exp()
            return _weighted_change(torch.expm1(before[0] - row).abs(), weight, resolution)

        bound = log_kernel.new_zeros(problems)
        if mass is not None:
            bound = math.log(mass) - log_kernel.logsumexp((0, 1))
        start = log_kernel.new_zeros(frames, problems), log_kernel.new_zeros(descriptors, problems), bound
        (row, column, bound), converged = self._iterate(update, change, start)
        if relaxation is not None:
            row = row_for(column)
        return self._scaled((log_kernel + row[:, None] + column).exp(), converged, row >= bound, column >= 0)

    def _solve_in_chunks(self, log_kernel: Tensor, offset: Tensor) -> Scaled:
        """Chunks that fit the cache, filled up to whole vectors: sums then run in the same order for every problem."""
        problems = log_kernel.shape[2]
        padding = (0, -problems % _VECTOR)
        log_kernel, offset = pad(log_kernel, padding), pad(offset, padding)
        size = max(_VECTOR, _CPU_CHUNK // (log_kernel.shape[0] * log_kernel.shape[1]) // _VECTOR * _VECTOR)
        parts = [
            self.solve_by_scaling(part.contiguous(), shift)
            for part, shift in zip(log_kernel.split(size, dim=2), offset.split(size), strict=True)
        ]
        return Scaled(*(torch.cat(pieces, -1)[..., :problems] for pieces in zip(*parts, strict=True)))

    def _iterate(
        self, update: Callable[[_State], _State], change: Callable[[_State, _State], Tensor], state: _State
    ) -> tuple[_State, Tensor]:
        """Alternates until every problem has stopped; one that has stopped is left as it is."""
        done = torch.zeros(state[0].shape[-1], dtype=torch.bool, device=state[0].device)
        may_stop_early = done.device.type == "cpu"  # elsewhere, asking would make the host wait for the device
        for _ in range(self.max_iterations):
            new = update(state)
            newly = change(new, state) < self.tolerance
            row, column, bound = (torch.where(done, old, fresh) for old, fresh in zip(state, new, strict=True))
            state = row, column, bound
            done = done | newly
            if may_stop_early and bool(done.all()):
                break
        return state, done

    def _scaled(self, plan: Tensor, converged: Tensor, free_rows: Tensor, free_columns: Tensor) -> Scaled:
        partial = self.marginals.mass is not None
        return Scaled(plan, converged, free_rows & partial, free_columns & partial)


def _weighted_change(relative: Tensor, weight: Tensor | float, resolution: Tensor | float) -> Tensor:
    """Change of the scalings (T, P) -> (P,); none where it is down to rounding."""
    return torch.where(relative.amax(0) <= 4 * resolution, 0, (relative * weight).sum(0))


def _translation(log_column: Tensor, relaxation: float | Tensor) -> Tensor:
    r"""What to add to all log b of a problem, (P,), so that the total mass is right.

    Iterations find this common part slowly under a strong KL penalty, although it is known: a solution has
    :math:`\frac{1}{N} \sum_n e^{-\kappa \log b_n} = 1` (Sejourne et al., AISTATS 2022).
    """
    middle = log_column.mean(0)
    return torch.log1p(torch.expm1(-relaxation * (log_column - middle)).mean(0)) / relaxation - middle
