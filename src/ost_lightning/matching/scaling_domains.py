"""The two domains of Sinkhorn's iterations: scalings as they are, or their logarithms.

The kernel domain is fast; in the log domain, nothing over- or underflows.
"""

# ruff: noqa: D102 - the methods of both domains are described in `Domain`

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ost_lightning.matching.sinkhorn_problem import ABSOLUTE_RANGE, SinkhornProblem


class LogKernel(NamedTuple):
    """Logarithm of Gibbs' kernel, shifted for each problem so that it is at most 0.

    Attributes:
        values: (T, N, P).
        offset: Addend to log u that gives the row scalings of the kernel without shift (Eq. 5), (P,).
    """

    values: Tensor
    offset: Tensor


def log_kernel(problem: SinkhornProblem, cosines: Tensor) -> LogKernel:
    """Logarithm of the kernel of cosines (T, N, P) of any strides; contiguous."""
    # differences to the largest cosine are exact, so the kernel is too, whatever the cosines' scale
    largest = cosines.amax((0, 1))
    values = torch.empty_like(cosines, memory_format=torch.contiguous_format)
    torch.sub(cosines, largest, out=values).div_(problem.epsilon)
    if problem.log_prior is not None:
        values += problem.log_prior[..., None]
    return LogKernel(values, (1 - largest) / problem.epsilon)


class Domain(ABC):
    """Arithmetic of the scalings of one kernel."""

    identity: ClassVar[float]
    """Scaling that changes nothing."""

    def __init__(self, kernel: LogKernel) -> None:
        self.kernel, self.offset = kernel
        self.frames, self.descriptors, self.problems = self.kernel.shape
        self.rounding = torch.finfo(self.kernel.dtype).eps

    @abstractmethod
    def bound(self, mass: float) -> Tensor:
        """Row scaling that spreads a mass as the kernel does, (P,)."""

    @abstractmethod
    def rows(self, v: Tensor) -> Tensor:
        """Row scalings whose plan has the row sums 1/T, (T, P)."""

    @abstractmethod
    def columns(self, u: Tensor) -> Tensor:
        """Column scalings whose plan has the column sums 1/N, (N, P)."""

    @abstractmethod
    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        """Column scalings under a KL penalty instead of exact sums."""

    @abstractmethod
    def growth(self, u: Tensor, v: Tensor, mass: float) -> Tensor:
        """Factor that gives a plan its mass, (P,)."""

    @abstractmethod
    def multiply(self, scaling: Tensor, factor: Tensor) -> Tensor:
        """Product of two scalings."""

    @abstractmethod
    def relative_change(self, old: Tensor, new: Tensor) -> Tensor:
        """|old / new - 1|."""

    @abstractmethod
    def row_weights(self, u: Tensor) -> Tensor:
        """Row scalings of Eq. 5, clamped to the range in which their changes count absolutely, (T, P)."""

    @abstractmethod
    def resolution(self, u: Tensor) -> Tensor | float:
        """Relative rounding error of scalings, (P,) or one for all."""

    @abstractmethod
    def logarithm(self, scaling: Tensor) -> Tensor:
        """Logarithm of a scaling."""

    @abstractmethod
    def plan(self, u: Tensor, v: Tensor) -> Tensor:
        """diag(u) K diag(v), (T, N, P); the kernel is used up."""


class KernelDomain(Domain):
    """Scalings as they are."""

    identity = 1.0

    def __init__(self, kernel: LogKernel) -> None:
        super().__init__(kernel)
        self.kernel = self.kernel.exp_()
        self.scale = self.offset.exp()
        self._product = torch.empty_like(self.kernel)  # fresh memory for every product would cost more than the product

    def bound(self, mass: float) -> Tensor:
        return mass / self.kernel.sum((0, 1))

    def rows(self, v: Tensor) -> Tensor:
        # N is small: adding up columns of K is twice as fast as a product and its sum
        total = self.kernel[:, 0] * v[0]
        for n in range(1, self.descriptors):
            total.addcmul_(self.kernel[:, n], v[n])
        return total.mul_(self.frames).reciprocal_()

    def columns(self, u: Tensor) -> Tensor:
        return torch.mul(self.kernel, u[:, None], out=self._product).sum(0).mul_(self.descriptors).reciprocal_()

    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        return _relaxed(v.log(), epsilon_over_rho).exp()

    def growth(self, u: Tensor, v: Tensor, mass: float) -> Tensor:
        return mass * self.frames / (u / self.rows(v)).sum(0)

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
    """Logarithms of scalings."""

    identity = 0.0

    def bound(self, mass: float) -> Tensor:
        return math.log(mass) - self.kernel.logsumexp((0, 1))

    def rows(self, v: Tensor) -> Tensor:
        return -math.log(self.frames) - torch.logsumexp(self.kernel + v, 1)

    def columns(self, u: Tensor) -> Tensor:
        return -math.log(self.descriptors) - torch.logsumexp(self.kernel + u[:, None], 0)

    def relax(self, v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
        return _relaxed(v, epsilon_over_rho)

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


def _relaxed(log_v: Tensor, epsilon_over_rho: float | Tensor) -> Tensor:
    r"""Logarithms of relaxed column scalings, (N, P), with the total mass of a solution.

    Iterations find the common part of all log v of a problem slowly under a strong KL penalty, although it is known: a
    solution has :math:`\frac{1}{N} \sum_n e^{-\kappa \log v_n} = 1`, :math:`\kappa = \epsilon / \rho` (Sejourne et al.,
    AISTATS 2022).
    """
    log_v = log_v / (1 + epsilon_over_rho)
    middle = log_v.mean(0)
    return log_v + (torch.log1p(torch.expm1(-epsilon_over_rho * (log_v - middle)).mean(0)) / epsilon_over_rho - middle)
