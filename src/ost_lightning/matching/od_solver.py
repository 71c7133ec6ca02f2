"""OD Solver: matching by optimal transport (Eq. 3 to 13)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.matching.later_settings import later_setting
from ost_lightning.matching.matchers import PlanMatcher, mean_frame_and_name, pairwise_cosines
from ost_lightning.matching.transport import PlanGradient, solve_transport
from ost_lightning.matching.transport_problem import BALANCED, TransportProblem
from ost_lightning.vocabulary import SENTENCE_KINDS, DescriptorKind, SentenceKind


@dataclass(frozen=True)
class TermWeights:
    """Weights of the four terms of Eq. 13, and of terms that the paper does not have; only their ratios matter.

    A kind with two zero weights is not needed at all (Spatio or Temporal Descriptors alone, Table 4b).

    Attributes:
        spatio_pooled: Weight of the mean-pooled frames against the mean-pooled Spatio Descriptors.
        temporal_pooled: Weight of the mean-pooled frames against the mean-pooled Temporal Descriptors.
        spatio_transported: Weight of the matching flow to Spatio Descriptors.
        temporal_transported: Weight of the matching flow to Temporal Descriptors.
        name: Weight of the mean-pooled frames against the category name, as in `CategoryName`; 0 in the paper. A name
            that an LLM has rephrased is averaged with it where the label space has one.
        order: Weight of the evidence that steps are seen in their order; see `OptimalDescriptorSolver`. The evidence is
            added to the weighted mean of the other terms, so this weight is not part of their sum.
        order_sigma: Width of the order-preserving prior that measures this evidence, > 0.

    Raises:
        UserError: If a weight is negative or not finite, all but the order's are 0, the order has a weight and no
            temporal term has, or the width is not positive.
    """

    spatio_pooled: float = 1.0
    temporal_pooled: float = 1.0
    spatio_transported: float = 1.0
    temporal_transported: float = 1.0
    name: float = later_setting(0.0)
    order: float = later_setting(0.0)
    order_sigma: float = later_setting(0.3)

    def __post_init__(self) -> None:
        values = [*self._terms, self.order]
        if any(not (value >= 0 and math.isfinite(value)) for value in values) or not self.total:
            raise UserError(
                "TermWeights must be 0 or more, and those besides the order's not all 0, but are "
                f"{', '.join(map(str, values))}."
            )
        if self.order and not any(self.of("temporal")):
            raise UserError("TermWeights.order needs steps: give a temporal term a weight, or set order to 0.")
        if not (self.order_sigma > 0 and math.isfinite(self.order_sigma)):
            raise UserError(f"TermWeights.order_sigma must be a positive number, not {self.order_sigma}.")

    @property
    def total(self) -> float:
        """Sum of the weights of all terms but the order's."""
        return sum(self._terms)

    @property
    def _terms(self) -> tuple[float, ...]:
        return tuple(weight for kind in SENTENCE_KINDS for weight in self.of(kind))

    def of(self, kind: SentenceKind) -> tuple[float, float]:
        """Returns the weights of the pooled and the transported term of a kind; names are never transported."""
        if kind == "name":
            return self.name, 0.0
        if kind == "spatio":
            return self.spatio_pooled, self.spatio_transported
        return self.temporal_pooled, self.temporal_transported


class OptimalDescriptorSolver(PlanMatcher):
    r"""OD Solver: the optimal matching flow from frames to descriptors, fused with pooled similarity (Eq. 13).

    .. math:: S = f \, (S^s_{pool} + S^t_{pool} + S^s_{OT} + S^t_{OT}), \quad S_{OT} = \langle P^*, \cos(V, D) \rangle

    In general, S is 4 f times the weighted mean of the four terms and, if it has a weight, a fifth one: the cosine of
    the mean frame and the category name (Eq. 8).

    A weight of the order adds evidence that the steps are seen in their order, which never speaks against a class:

    .. math:: E = \max(0, \langle P^\sigma(D), \cos(V, D) \rangle - \langle P^\sigma(\bar D), \cos(V, \bar D) \rangle)

    with the plans of the Temporal Descriptors D and of the same in reverse under an order-preserving prior of width
    sigma. Where neither order fits better, as for steps or frames without one, E is 0 and S stays as it is. With this
    term, S may exceed 1.

    Args:
        epsilon: Weight of the entropy, > 0; the initial value if epsilon is learned.
        max_iterations: Upper bound on Sinkhorn's iterations for each problem.
        tolerance: Upper bound on the change at which a problem counts as solved; see `transport_plan`.
        factor: Factor f of the sum of the terms. 1/4, as in Eq. 13, gives their mean. The released code uses 1/2, which
            doubles the logits in training and when views are averaged.
        terms: Weights of the terms.
        spatio: Transport problem of the Spatio Descriptors; balanced by default.
        temporal: Transport problem of the Temporal Descriptors; balanced by default.
        gradient: Treatment of the plan in the backward pass: `detach` for a constant, as in the released code, or
            `implicit` for implicit differentiation; see `transport_plan`.
        learn_epsilon: Whether epsilon is trained with the network's weights; requires the gradient `implicit`.
        epsilon_rate: Multiplier of the optimizer's learning rate for log epsilon.

    Raises:
        UserError: If a setting is out of range, or epsilon is learned without the gradient `implicit`.

    Examples:
        One video of two frames, one class with two descriptors of each kind.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> spatio, temporal = torch.tensor([[[[1.0, 0.0], [0.8, 0.6]]], [[[0.8, 0.6], [0.0, 1.0]]]])
        >>> solver = OptimalDescriptorSolver()
        >>> solver(frames, spatio, temporal)
        tensor([[0.8079]])
        >>> cosines, plan = solver.cosines_and_plan(frames, temporal, "temporal")
        >>> plan.shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(
        self,
        epsilon: float = 0.1,
        max_iterations: int = 100,
        tolerance: float = 1e-2,
        factor: float = 0.25,
        terms: TermWeights = TermWeights(),  # frozen, like the next two
        spatio: TransportProblem = BALANCED,
        temporal: TransportProblem = BALANCED,
        gradient: PlanGradient = "detach",
        learn_epsilon: bool = False,
        epsilon_rate: float = 100.0,
    ) -> None:
        super().__init__()
        for name, value in (("epsilon", epsilon), ("max_iterations", max_iterations), ("tolerance", tolerance)):
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"OptimalDescriptorSolver.{name} must be a positive number, not {value}.")
        if learn_epsilon and gradient != "implicit":
            raise UserError(
                "OptimalDescriptorSolver.learn_epsilon requires a gradient through the plan, the only way to reach "
                "epsilon: set gradient to implicit."
            )
        self.max_iterations, self.tolerance, self.factor = max_iterations, tolerance, factor
        self.terms, self.gradient = terms, gradient
        self.problems: dict[DescriptorKind, TransportProblem] = {"spatio": spatio, "temporal": temporal}
        self.kinds = tuple(kind for kind in SENTENCE_KINDS if any(terms.of(kind)))
        self._epsilon, self.epsilon_rate = epsilon, epsilon_rate
        self.epsilon_shift = nn.Parameter(torch.zeros(())) if learn_epsilon else None
        self._unconverged: Tensor
        self.register_buffer("_unconverged", torch.zeros((), dtype=torch.int64), persistent=False)

    @property
    def epsilon(self) -> float | Tensor:
        """Current weight of the entropy; a scalar tensor if it is learned."""
        if self.epsilon_shift is None:
            return self._epsilon
        return self._epsilon * (self.epsilon_rate * self.epsilon_shift).exp()

    @property
    def learn_epsilon(self) -> bool:
        """Whether epsilon is trained."""
        return self.epsilon_shift is not None

    @property
    def spatio(self) -> TransportProblem:
        """Transport problem of the Spatio Descriptors."""
        return self.problems["spatio"]

    @property
    def temporal(self) -> TransportProblem:
        """Transport problem of the Temporal Descriptors."""
        return self.problems["temporal"]

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d) and sentences (K, N, d) of each kind in `kinds`."""
        scores = [
            self.terms.name * mean_frame_and_name(frames, sentences)
            if kind == "name"
            else self._score(frames, sentences, kind)
            for kind, sentences in zip(self.kinds, texts, strict=True)
        ]
        if self.terms.order:
            scores.append(self.terms.order * self._order_evidence(frames, texts[self.kinds.index("temporal")]))
        return 4 * self.factor / self.terms.total * torch.stack(scores).sum(0)

    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        """Returns cosines and transport plan of each video and class, each (B, K, T, N).

        Args:
            frames: Frame embeddings, (B, T, d), L2-normalized.
            descriptors: Descriptor embeddings, (K, N, d), L2-normalized.
            kind: Kind of these descriptors.
        """
        cosines = pairwise_cosines(frames, descriptors)
        return cosines, self._plan(cosines, self.problems[kind])

    def _plan(self, cosines: Tensor, problem: TransportProblem) -> Tensor:
        solution = solve_transport(
            cosines,
            problem=problem,
            epsilon=self.epsilon,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
            gradient=self.gradient,
        )
        self._unconverged += (~solution.converged).sum()
        return solution.plan

    def unconverged(self) -> Tensor | None:
        """Returns how many transport problems failed to converge since the last call."""
        count = self._unconverged.clone()
        self._unconverged.zero_()
        return count

    def _score(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> Tensor:
        """Returns the weighted sum of the pooled and the transported similarity, (B, K)."""
        pooled, transported = self.terms.of(kind)
        if not transported:
            return pooled * (frames.mean(1) @ descriptors.mean(1).T)
        cosines, plan = self.cosines_and_plan(frames, descriptors, kind)
        # divided by the mass, so that a partial plan also gives a mean cosine
        score = transported / self.problems[kind].mass * (plan * cosines).sum((-2, -1))
        # the mean of all cosines equals the product of the two means (Eq. 9)
        return score + pooled * cosines.mean((-2, -1)) if pooled else score

    def _order_evidence(self, frames: Tensor, steps: Tensor) -> Tensor:
        """Returns by how much the steps fit better in their order than in reverse, at least 0, (B, K)."""
        cosines = pairwise_cosines(frames, steps)
        problem = replace(self.temporal, order_sigma=self.terms.order_sigma)
        forward, backward = ((self._plan(each, problem) * each).sum((-2, -1)) for each in (cosines, cosines.flip(-1)))
        return (forward - backward).relu() / problem.mass
