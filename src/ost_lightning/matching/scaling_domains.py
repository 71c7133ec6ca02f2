"""The two domains of Sinkhorn's iterations: the scalings themselves, or their logarithms.

The kernel domain is faster; the log domain can neither overflow nor underflow.
"""

# ruff: noqa: D102 - `Domain` documents the methods of both domains

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ost_lightning.matching.sinkhorn_problem import ABSOLUTE_RANGE, LogSums, SinkhornProblem


class LogKernel(NamedTuple):
    """Logarithm of the Gibbs kernel, shifted per problem so that it is at most 0.

    Attributes:
        values: Shifted logarithms, (T, N, P).
        offset: Term that, added to log u, gives the row scalings of the unshifted kernel (Eq. 5), (P,).
        sums: Row and column sums of the plans.
    """

    values: Tensor
    offset: Tensor
    sums: LogSums = LogSums()


def log_kernel(problem: SinkhornProblem, cosines: Tensor, sums: LogSums = LogSums()) -> LogKernel:
    """Returns the contiguous log kernel of cosines (T, N, P) with any strides."""
    # differences from the largest cosine are exact, and hence the kernel is, at any scale of the cosines
    largest = cosines.amax((0, 1))
    values = torch.empty_like(cosines, memory_format=torch.contiguous_format)
    torch.sub(cosines, largest, out=values).div_(problem.epsilon)
    if problem.log_prior is not None:
        values += problem.log_prior[..., None]
    return LogKernel(values, (1 - largest) / problem.epsilon, sums)


class Domain(ABC):
    """Arithmetic on the scalings of one kernel."""

    identity: ClassVar[float]
    """Scaling that leaves the kernel unchanged."""

    def __init__(self, kernel: LogKernel) -> None:
        self.kernel, self.offset, self.sums = kernel
        self.frames, self.descriptors, self.problems = self.kernel.shape
        self.rounding = torch.finfo(self.kernel.dtype).eps

    @abstractmethod
    def bound(self, mass: float) -> Tensor:
        """Returns the uniform row scaling that gives the kernel a total mass, (P,)."""

    @abstractmethod
    def rows(self, v: Tensor) -> Tensor:
        """Returns row scalings whose plan has the row sums, (T, P)."""

    @abstractmethod
    def columns(self, u: Tensor) -> Tensor:
        """Returns column scalings whose plan has the column sums, (N, P)."""

    @abstractmethod
    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        """Returns column scalings under a KL penalty instead of exact sums, (N, P)."""

    @abstractmethod
    def growth(self, u: Tensor, v: Tensor, mass: float) -> Tensor:
        """Returns the factor that gives a plan its mass, (P,)."""

    @abstractmethod
    def multiply(self, scaling: Tensor, factor: Tensor) -> Tensor:
        """Returns the product of two scalings."""

    @abstractmethod
    def relative_change(self, old: Tensor, new: Tensor) -> Tensor:
        """Returns |old / new - 1|."""

    @abstractmethod
    def row_weights(self, u: Tensor) -> Tensor:
        """Returns the row scalings of Eq. 5, clamped to the range where changes are measured absolutely, (T, P)."""

    @abstractmethod
    def resolution(self, u: Tensor) -> Tensor | float:
        """Returns the relative rounding error of scalings: (P,), or one value for all."""

    @abstractmethod
    def logarithm(self, scaling: Tensor) -> Tensor:
        """Returns the logarithm of a scaling."""

    @abstractmethod
    def plan(self, u: Tensor, v: Tensor) -> Tensor:
        """Returns diag(u) K diag(v), (T, N, P); may overwrite the kernel."""


class KernelDomain(Domain):
    """Arithmetic on the scalings themselves."""

    identity = 1.0

    def __init__(self, kernel: LogKernel) -> None:
        super().__init__(kernel)
        per_row, per_column = (None if part is None else part.neg().exp_() for part in self.sums)
        self.per_row: int | Tensor = self.frames if per_row is None else per_row
        self.per_column: int | Tensor = self.descriptors if per_column is None else per_column
        self.kernel = self.kernel.exp_()
        self.scale = self.offset.exp()
        # allocating memory per product would take longer than the product
        self._product = torch.empty_like(self.kernel)

    def bound(self, mass: float) -> Tensor:
        return mass / self.kernel.sum((0, 1))

    def rows(self, v: Tensor) -> Tensor:
        # N is small: accumulating columns of K is twice as fast as summing a product
        total = self.kernel[:, 0] * v[0]
        for n in range(1, self.descriptors):
            total.addcmul_(self.kernel[:, n], v[n])
        return total.mul_(self.per_row).reciprocal_()

    def columns(self, u: Tensor) -> Tensor:
        return torch.mul(self.kernel, u[:, None], out=self._product).sum(0).mul_(self.per_column).reciprocal_()

    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        return _relaxed(v.log(), epsilon_over_rho, self.sums.columns).exp()

    def growth(self, u: Tensor, v: Tensor, mass: float) -> Tensor:
        ratio = u / self.rows(v)
        if isinstance(self.per_row, Tensor):
            return mass / (ratio / self.per_row).sum(0)
        return mass * self.per_row / ratio.sum(0)

    def multiply(self, scaling: Tensor, factor: Tensor) -> Tensor:
        return scaling * factor

    def relative_change(self, old: Tensor, new: Tensor) -> Tensor:
        return (old / new).sub_(1).abs_()

    def row_weights(self, u: Tensor) -> Tensor:
        return (u * self.scale).clamp_(*ABSOLUTE_RANGE)

    def resolution(self, u: Tensor) -> float:
        return self.rounding

    def logarithm(self, scaling: Tensor) -> Tensor:
        return scaling.log()

    def plan(self, u: Tensor, v: Tensor) -> Tensor:
        return self.kernel.mul_(v).mul_(u[:, None])


class LogDomain(Domain):
    """Arithmetic on the logarithms of scalings."""

    identity = 0.0

    def __init__(self, kernel: LogKernel) -> None:
        super().__init__(kernel)
        rows, columns = self.sums
        self.log_rows: float | Tensor = -math.log(self.frames) if rows is None else rows
        self.log_columns: float | Tensor = -math.log(self.descriptors) if columns is None else columns

    def bound(self, mass: float) -> Tensor:
        return math.log(mass) - self.kernel.logsumexp((0, 1))

    def rows(self, v: Tensor) -> Tensor:
        return self.log_rows - torch.logsumexp(self.kernel + v, 1)

    def columns(self, u: Tensor) -> Tensor:
        return self.log_columns - torch.logsumexp(self.kernel + u[:, None], 0)

    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        return _relaxed(v, epsilon_over_rho, self.sums.columns)

    def growth(self, u: Tensor, v: Tensor, mass: float) -> Tensor:
        return math.log(mass) - torch.logsumexp(u + torch.logsumexp(self.kernel + v, 1), 0)

    def multiply(self, scaling: Tensor, factor: Tensor) -> Tensor:
        return scaling + factor

    def relative_change(self, old: Tensor, new: Tensor) -> Tensor:
        return torch.expm1(old - new).abs()

    def row_weights(self, u: Tensor) -> Tensor:
        low, high = (math.log(end) for end in ABSOLUTE_RANGE)
        return (u + self.offset).clamp(low, high).exp()

    def resolution(self, u: Tensor) -> Tensor:
        return self.rounding * u.abs().amax(0).clamp(min=1)

    def logarithm(self, scaling: Tensor) -> Tensor:
        return scaling

    def plan(self, u: Tensor, v: Tensor) -> Tensor:
        return (self.kernel + u[:, None] + v).exp()


def _relaxed(log_v: Tensor, epsilon_over_rho: float | Tensor, log_columns: Tensor | None) -> Tensor:
    r"""Returns the logarithms of relaxed column scalings, (N, P), with the total mass of a solution.

    Under a strong KL penalty, iterations alone converge slowly in the common offset of all log v of a problem. That
    offset is known, however: a solution has :math:`\sum_n b_n e^{-\kappa \log v_n} = 1` with the column sums b and
    :math:`\kappa = \epsilon / \rho` (Sejourne et al., AISTATS 2022).
    """
    log_v = log_v / (1 + epsilon_over_rho)
    mean = log_v.mean(0)
    spread = torch.expm1(-epsilon_over_rho * (log_v - mean))
    total = spread.mean(0) if log_columns is None else (log_columns.exp() * spread).sum(0)
    return log_v + (torch.log1p(total) / epsilon_over_rho - mean)
