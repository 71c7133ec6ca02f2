"""Matching mechanisms: frame and sentence embeddings in, similarities out. One class for each row of Table 4a."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching.transport import BALANCED, PlanGradient, TransportProblem, solve_transport
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

Chooser = Literal["frame", "descriptor"]
_PARTNERS: Final[dict[Chooser, int]] = {"frame": -1, "descriptor": -2}  # dimensions of (B, K, T, N)


class Matcher(nn.Module, ABC):
    """Scores videos against classes.

    A matcher keeps each argument of its constructor as an attribute of the same name, from which results tell how it
    was set.

    Attributes:
        kinds: Kinds of sentence ("name", "spatio", "temporal") whose embeddings `forward` takes after the frames, in
            this order.
    """

    kinds: tuple[SentenceKind, ...]

    @abstractmethod
    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities.

        Args:
            frames: (B, T, d), L2-normalized.
            texts: One tensor (K, N, d) for each of `kinds`, L2-normalized.

        Returns:
            (B, K), in [-1, 1].
        """

    def unconverged(self) -> Tensor | None:
        """How many iterative problems have not converged since the last call; None where nothing iterates."""
        return None


class CategoryName(Matcher):
    """The baseline: mean-pooled frames against the sentence of the category name (Eq. 8).

    Several templates are averaged and normalized, as CLIP does.
    """

    kinds = ("name",)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d) and names (K, templates, d)."""
        (names,) = texts
        return frames.mean(1) @ F.normalize(names.mean(1), dim=-1).T


class PooledDescriptors(Matcher):
    """All descriptors of a class and its name averaged to one vector ("Descriptors" in Table 4a).

    Averages are not normalized again, as released (Eq. 9).
    """

    kinds = ("name", "spatio", "temporal")

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), names (K, templates, d), Spatio and Temporal Descriptors (K, N, d)."""
        names, spatio, temporal = texts
        pooled = torch.cat([names.mean(1, keepdim=True), spatio, temporal], dim=1).mean(1)
        return frames.mean(1) @ pooled.T


class MaxSimilarity(Matcher):
    r"""Hard matching without marginals: every frame takes its best descriptor, or every descriptor its best frame.

    .. math:: S^k = \frac{1}{T} \sum_t \max_n \cos_{tn} \quad or \quad \frac{1}{N} \sum_n \max_t \cos_{tn}

    averaged over the two kinds k: token-wise maxima as in FILIP (Yao et al., ICLR 2022). Something to compare transport
    with.

    Args:
        chooser: Who takes its best partner.
    """

    kinds = DESCRIPTOR_KINDS

    def __init__(self, chooser: Chooser = "frame") -> None:
        super().__init__()
        self.chooser = chooser

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        partners = _PARTNERS[self.chooser]
        scores = [_cosines(frames, descriptors).amax(partners).mean(-1) for descriptors in texts]
        return torch.stack(scores).mean(0)


class SoftmaxMatching(Matcher):
    r"""Soft matching with one marginal: every frame spreads its mass over descriptors, or every descriptor over frames.

    .. math:: S^k = \frac{1}{T} \sum_{tn} \mathrm{softmax}_n(\cos_{tn} / \tau) \cos_{tn}

    averaged over the two kinds k; cross-attention without learned projections. It is what transport comes to when the
    descriptors' marginal is given up (`descriptor_rho` towards 0). Something to compare transport with. Gradients flow
    through the weights too.

    Args:
        temperature: tau, > 0; the counterpart of transport's epsilon.
        chooser: Who spreads its mass.
    """

    kinds = DESCRIPTOR_KINDS

    def __init__(self, temperature: float = 0.1, chooser: Chooser = "frame") -> None:
        super().__init__()
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UserError(f"SoftmaxMatching.temperature must be a positive number, not {temperature}.")
        self.temperature, self.chooser = temperature, chooser

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        return torch.stack([self._score(_cosines(frames, descriptors)) for descriptors in texts]).mean(0)

    def _score(self, cosines: Tensor) -> Tensor:
        partners = _PARTNERS[self.chooser]
        shares = (cosines.float() / self.temperature).softmax(partners)
        return (shares * cosines).sum(partners).mean(-1)


@dataclass(frozen=True)
class TermWeights:
    """Shares of the four terms of Eq. 13; only their ratios count.

    A kind whose two weights are 0 is not needed at all (Spatio or Temporal Descriptors alone, Table 4b).

    Attributes:
        spatio_pooled: Of the mean-pooled frames against the mean-pooled Spatio Descriptors.
        temporal_pooled: Of the same with Temporal Descriptors.
        spatio_transported: Of the matching flow to Spatio Descriptors.
        temporal_transported: Of the matching flow to Temporal Descriptors.

    Raises:
        UserError: If one is negative, or all are 0.
    """

    spatio_pooled: float = 1.0
    temporal_pooled: float = 1.0
    spatio_transported: float = 1.0
    temporal_transported: float = 1.0

    def __post_init__(self) -> None:
        values = [self.spatio_pooled, self.temporal_pooled, self.spatio_transported, self.temporal_transported]
        if any(not (value >= 0 and math.isfinite(value)) for value in values) or not sum(values):
            raise UserError(f"TermWeights must be 0 or more, and not all 0; they are {', '.join(map(str, values))}.")

    @property
    def total(self) -> float:
        """Their sum."""
        return self.spatio_pooled + self.temporal_pooled + self.spatio_transported + self.temporal_transported

    def of(self, kind: DescriptorKind) -> tuple[float, float]:
        """Weights of the pooled and the transported term of a kind."""
        if kind == "spatio":
            return self.spatio_pooled, self.spatio_transported
        return self.temporal_pooled, self.temporal_transported


class OptimalDescriptorSolver(Matcher):
    r"""The OD Solver: the best matching flow from frames to descriptors, fused with their pooled similarity (Eq. 13).

    .. math:: S = f \, (S^s_{pool} + S^t_{pool} + S^s_{OT} + S^t_{OT}), \quad S_{OT} = \langle P^*, \cos(V, D) \rangle

    In general the weighted mean of the four terms, times 4 f.

    Args:
        epsilon: Weight of the entropy, > 0; where it starts if it is learned.
        max_iterations: Bound on Sinkhorn's iterations.
        tolerance: When a problem counts as solved; see `transport_plan`.
        factor: f. 1/4 is Eq. 13: the mean of the terms. The released code sums with 1/2, which doubles the temperature
            of training and of averaged views.
        terms: Weights of the four terms.
        spatio: What is asked of the flow to Spatio Descriptors; balanced by default.
        temporal: What is asked of the flow to Temporal Descriptors; balanced by default.
        gradient: Whether the plan is a constant of the backward pass, as released (`envelope`), or follows the
            embeddings (`through_plan`); see `transport_plan`.
        learn_epsilon: Train epsilon with the network's weights; needs the gradient `through_plan`.
        epsilon_rate: How much faster than a weight log epsilon moves, at the optimizer's learning rate.

    Raises:
        UserError: If a setting is out of range, or epsilon is to be learned from a constant plan.
    """

    kinds: tuple[DescriptorKind, ...]

    def __init__(
        self,
        epsilon: float = 0.1,
        max_iterations: int = 100,
        tolerance: float = 1e-2,
        factor: float = 0.25,
        terms: TermWeights = TermWeights(),  # frozen, like the next two
        spatio: TransportProblem = BALANCED,
        temporal: TransportProblem = BALANCED,
        gradient: PlanGradient = "envelope",
        learn_epsilon: bool = False,
        epsilon_rate: float = 100.0,
    ) -> None:
        super().__init__()
        for name, value in (("epsilon", epsilon), ("max_iterations", max_iterations), ("tolerance", tolerance)):
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"OptimalDescriptorSolver.{name} must be a positive number, not {value}.")
        if learn_epsilon and gradient != "through_plan":
            raise UserError(
                "OptimalDescriptorSolver.learn_epsilon needs a gradient that reaches epsilon, and epsilon only shapes "
                "the plan: set gradient to through_plan."
            )
        self.max_iterations, self.tolerance, self.factor = max_iterations, tolerance, factor
        self.terms, self.gradient = terms, gradient
        self.problems: dict[DescriptorKind, TransportProblem] = {"spatio": spatio, "temporal": temporal}
        self.kinds = tuple(kind for kind in DESCRIPTOR_KINDS if any(terms.of(kind)))
        self._epsilon, self.epsilon_rate = epsilon, epsilon_rate
        self.epsilon_shift = nn.Parameter(torch.zeros(())) if learn_epsilon else None
        self._unconverged: Tensor
        self.register_buffer("_unconverged", torch.zeros((), dtype=torch.int64), persistent=False)

    @property
    def epsilon(self) -> float | Tensor:
        """Weight of the entropy at this moment; a scalar tensor if it is learned."""
        if self.epsilon_shift is None:
            return self._epsilon
        return self._epsilon * (self.epsilon_rate * self.epsilon_shift).exp()

    @property
    def learn_epsilon(self) -> bool:
        """Whether epsilon is trained."""
        return self.epsilon_shift is not None

    @property
    def spatio(self) -> TransportProblem:
        """What is asked of the flow to Spatio Descriptors."""
        return self.problems["spatio"]

    @property
    def temporal(self) -> TransportProblem:
        """What is asked of the flow to Temporal Descriptors."""
        return self.problems["temporal"]

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d) and, of each of `kinds`, descriptors (K, N, d)."""
        kinds = [kind for kind in DESCRIPTOR_KINDS if kind in self.kinds]
        scores = [self._score(frames, descriptors, kind) for kind, descriptors in zip(kinds, texts, strict=True)]
        return 4 * self.factor / self.terms.total * torch.stack(scores).sum(0)

    def cosines_and_plan(
        self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind | None = None
    ) -> tuple[Tensor, Tensor]:
        """The matching flow itself.

        Args:
            frames: (B, T, d).
            descriptors: (K, N, d).
            kind: Theirs; may be left out if the solver asks the same of both.

        Returns:
            Cosines and plan, each (B, K, T, N).

        Raises:
            ValueError: If the kind is left out and matters.
        """
        if kind is None and self.problems["spatio"] != self.problems["temporal"]:
            raise ValueError("this solver treats spatio and temporal descriptors differently: say which these are")
        cosines = _cosines(frames, descriptors)
        solution = solve_transport(
            cosines,
            problem=self.problems[kind or "spatio"],
            epsilon=self.epsilon,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
            gradient=self.gradient,
        )
        self._unconverged += (~solution.converged).sum()
        return cosines, solution.plan

    def unconverged(self) -> Tensor | None:
        """How many transport problems have not converged since the last call."""
        count = self._unconverged.clone()
        self._unconverged.zero_()
        return count

    def _score(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> Tensor:
        """Weighted sum of the pooled and the transported similarity, (B, K)."""
        pooled, transported = self.terms.of(kind)
        if not transported:
            return pooled * (frames.mean(1) @ descriptors.mean(1).T)
        cosines, plan = self.cosines_and_plan(frames, descriptors, kind)
        # a part of the mass still gives a mean cosine
        score = transported / self.problems[kind].mass * (plan * cosines).sum((-2, -1))
        # the mean of all cosines is the product of the two means: Eq. 9
        return score + pooled * cosines.mean((-2, -1)) if pooled else score


def _cosines(frames: Tensor, descriptors: Tensor) -> Tensor:
    """(B, T, d) and (K, N, d) -> (B, K, T, N)."""
    return torch.einsum("btd,knd->bktn", frames, descriptors)
