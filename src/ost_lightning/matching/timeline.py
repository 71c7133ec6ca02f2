"""Smooth assignment of a long video's windows to classes: fused Gromov-Wasserstein transport with a temporal structure.

ASOT (Xu and Gould, CVPR 2024), for decoding: windows close in time that go to different classes cost extra.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError

_TINY: Final = 1e-12
"""Smallest entry of a plan in logarithms, as in the authors' code."""


@dataclass(frozen=True)
class TimelineProblem:
    """Settings of a smooth assignment.

    Attributes:
        radius: Distance up to which neighboring windows should agree, in windows, at least 1. A fraction of a window
            lowers the weight of each neighbor: n = floor(radius) on each side count N / radius.
        smoothness: Weight of the agreement, alpha in [0, 1); the costs have the weight 1 - alpha.
        epsilon: Weight of the entropy, > 0.
        class_prior: Weight of a KL penalty that pulls the classes to equal shares, at least 0.
        steps: Number of mirror-descent steps, at least 1.
        step_size: Size of a step, > 0; None for 4 over the largest entry of the first gradient in absolute value, rows
            centered.

    Raises:
        UserError: If a setting is out of range.
    """

    radius: float
    smoothness: float = 0.5
    epsilon: float = 0.07
    class_prior: float = 0.0
    steps: int = 50
    step_size: float | None = None

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("radius", self.radius >= 1 and math.isfinite(self.radius), "at least 1 window"),
            ("smoothness", 0 <= self.smoothness < 1, "from 0 to less than 1"),
            ("epsilon", self.epsilon > 0 and math.isfinite(self.epsilon), "a positive number"),
            ("class_prior", self.class_prior >= 0 and math.isfinite(self.class_prior), "0 or more"),
            ("steps", self.steps >= 1, "at least 1"),
            ("step_size", self.step_size is None or self.step_size > 0, "a positive number"),
        ):
            if not valid:
                raise UserError(f"TimelineProblem.{name} must be {expected}, not {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, eq=False)
class TimelineSolution:
    """Assignment of windows to classes.

    Attributes:
        assignment: Share of each window that goes to each class, (N, K); rows sum to 1.
        objectives: Value of the objective after each step, (steps + 1,).
    """

    assignment: Tensor
    objectives: Tensor


def solve_timeline(costs: Tensor, problem: TimelineProblem, prior_classes: Tensor | None = None) -> TimelineSolution:
    r"""Assigns windows to classes by projected mirror descent.

    Minimizes, over plans T with rows that sum to 1 / N,

    .. math:: \alpha \, G(T) + (1 - \alpha) \langle C, T \rangle + \lambda \, KL(T^\top 1 \,\|\, q) - \epsilon H(T)

    where G(T) is the mass of pairs of windows within the radius that go to different classes. Costs should differ by
    about 1 between a class that fits and one that doesn't, since smoothness is measured against them.

    Args:
        costs: Cost of each window for each class, finite (N, K). A column of zeros is a background for windows where
            all other costs are positive.
        problem: Settings.
        prior_classes: Classes that `class_prior` pulls to equal shares, bool (K,); all of them if missing.

    Returns:
        Assignment in the precision of the costs, fp32 or fp64.

    Raises:
        UserError: If the costs are not finite or not (N, K).
    """
    if costs.ndim != 2 or 0 in costs.shape or not bool(costs.isfinite().all()):
        raise UserError(f"The costs of a timeline have to be finite and (windows, classes), not {tuple(costs.shape)}.")
    costs = costs if costs.dtype == torch.float64 else costs.float()
    descent = _Descent(costs, problem, prior_classes)
    plan = torch.full_like(costs, 1 / costs.numel())
    objectives = [descent.objective(plan)]
    step = problem.step_size
    for _ in range(problem.steps):
        gradient = descent.gradient(plan)
        # a constant per row changes nothing, because rows are normalized
        gradient = gradient - gradient.mean(1, keepdim=True)
        if step is None:
            step = 4 / max(float(gradient.abs().max()), _TINY)
        logits = plan.clamp_min(_TINY).log() - step * gradient
        plan = logits.softmax(1) / len(costs)
        objectives.append(descent.objective(plan))
    return TimelineSolution(plan * len(costs), torch.stack(objectives))


class _Descent:
    """Objective and gradient of one problem."""

    def __init__(self, costs: Tensor, problem: TimelineProblem, prior_classes: Tensor | None) -> None:
        self.costs, self.problem = costs, problem
        windows, classes = costs.shape
        self.prior = torch.ones(classes, dtype=torch.bool) if prior_classes is None else prior_classes
        self.share = 1 / max(int(self.prior.sum()), 1)
        # V_ik = N / radius for neighbors, so that G doesn't depend on the number of windows
        self.neighbors = min(int(problem.radius), windows)
        self.kernel = costs.new_full((1, 1, 2 * self.neighbors + 1), windows / problem.radius)
        self.kernel[..., self.neighbors] = 0

    def disagreement(self, plan: Tensor) -> Tensor:
        """Gradient of G: for each window and class, the mass of neighbors that goes to other classes."""
        others = plan.sum(1, keepdim=True) - plan
        return F.conv1d(others.T[:, None], self.kernel, padding=self.neighbors)[:, 0].T

    def gradient(self, plan: Tensor) -> Tensor:
        alpha = self.problem.smoothness
        gradient = alpha * self.disagreement(plan) + (1 - alpha) * self.costs
        gradient = gradient + self.problem.epsilon * plan.clamp_min(_TINY).log()
        if self.problem.class_prior:
            columns = (plan.sum(0) / self.share).clamp_min(_TINY).log() + 1
            gradient = gradient + self.problem.class_prior * torch.where(self.prior, columns, 0)
        return gradient

    def objective(self, plan: Tensor) -> Tensor:
        alpha, logarithm = self.problem.smoothness, plan.clamp_min(_TINY).log()
        value = alpha / 2 * (self.disagreement(plan) * plan).sum() + (1 - alpha) * (self.costs * plan).sum()
        value = value - self.problem.epsilon * (plan * (1 - logarithm)).sum()
        if self.problem.class_prior:
            shares = plan.sum(0)[self.prior]
            value = value + self.problem.class_prior * (shares * (shares / self.share).clamp_min(_TINY).log()).sum()
        return value
