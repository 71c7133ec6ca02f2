"""Matching mechanisms: frame and sentence embeddings in, similarities out. One class for each row of Table 4a."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.matching.transport import solve_transport


class Matcher(nn.Module, ABC):
    """Scores videos against classes.

    Attributes:
        kinds: Kinds of sentence ("name", "spatio", "temporal") whose embeddings `forward` takes after the frames, in
            this order.
    """

    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities.

        Args:
            frames: (B, T, d), L2-normalised.
            texts: One tensor (K, N, d) for each of `kinds`, L2-normalised.

        Returns:
            (B, K), in [-1, 1].
        """

    def unconverged(self) -> Tensor | None:
        """How many iterative problems have not converged since the last call; None where nothing iterates."""
        return None


class CategoryName(Matcher):
    """The baseline: mean-pooled frames against the sentence of the category name (Eq. 8).

    Several templates are averaged and normalised, as CLIP does.
    """

    kinds = ("name",)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d) and names (K, templates, d)."""
        (names,) = texts
        return frames.mean(1) @ F.normalize(names.mean(1), dim=-1).T


class PooledDescriptors(Matcher):
    """All descriptors of a class and its name averaged to one vector ("Descriptors" in Table 4a).

    Averages are not normalised again, as released (Eq. 9).
    """

    kinds = ("name", "spatio", "temporal")

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), names (K, templates, d), Spatio and Temporal Descriptors (K, N, d)."""
        names, spatio, temporal = texts
        pooled = torch.cat([names.mean(1, keepdim=True), spatio, temporal], dim=1).mean(1)
        return frames.mean(1) @ pooled.T


class OptimalDescriptorSolver(Matcher):
    r"""The OD Solver: the best matching flow from frames to descriptors, fused with their pooled similarity (Eq. 13).

    .. math:: S = f \, (S^s_{pool} + S^t_{pool} + S^s_{OT} + S^t_{OT}), \quad S_{OT} = \langle P^*, \cos(V, D) \rangle

    Gradients flow through the cosines; the plan is a constant.

    Args:
        epsilon: Weight of the entropy.
        max_iterations: Bound on Sinkhorn's iterations.
        tolerance: When a problem counts as solved; see `transport_plan`.
        factor: f. 1/4 is Eq. 13; the released code sums with 1/2, which doubles the temperature of training and of
            averaged views.
    """

    kinds = ("spatio", "temporal")

    def __init__(
        self, epsilon: float = 0.1, max_iterations: int = 100, tolerance: float = 1e-2, factor: float = 0.25
    ) -> None:
        super().__init__()
        self.epsilon, self.max_iterations, self.tolerance, self.factor = epsilon, max_iterations, tolerance, factor
        self._unconverged: Tensor
        self.register_buffer("_unconverged", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        spatio, temporal = texts
        return self.factor * (
            self._pooled_and_transported(frames, spatio) + self._pooled_and_transported(frames, temporal)
        )

    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor) -> tuple[Tensor, Tensor]:
        """The matching flow itself.

        Args:
            frames: (B, T, d).
            descriptors: (K, N, d).

        Returns:
            Cosines and plan, each (B, K, T, N).
        """
        cosines = torch.einsum("btd,knd->bktn", frames, descriptors)
        solution = solve_transport(
            cosines, epsilon=self.epsilon, max_iterations=self.max_iterations, tolerance=self.tolerance
        )
        self._unconverged += (~solution.converged).sum()
        return cosines, solution.plan

    def unconverged(self) -> Tensor | None:
        """How many transport problems have not converged since the last call."""
        count = self._unconverged.clone()
        self._unconverged.zero_()
        return count

    def _pooled_and_transported(self, frames: Tensor, descriptors: Tensor) -> Tensor:
        cosines, plan = self.cosines_and_plan(frames, descriptors)
        # the mean of all cosines is the product of the two means: Eq. 9
        return cosines.mean((-2, -1)) + (plan * cosines).sum((-2, -1))
