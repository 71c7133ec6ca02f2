"""Matching mechanisms: frame and sentence embeddings in, similarities out. One class for each row of Table 4a."""

import math
from abc import ABC, abstractmethod
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

Direction = Literal["frames_to_descriptors", "descriptors_to_frames"]
"""Which side chooses its partners: each frame among descriptors, or each descriptor among frames."""
_PARTNERS: Final[dict[Direction, int]] = {"frames_to_descriptors": -1, "descriptors_to_frames": -2}
"""Dimension of (B, K, T, N) along which partners lie."""


class Matcher(nn.Module, ABC):
    """Scores videos against classes.

    A matcher keeps each argument of its constructor as an attribute of the same name, from which results report its
    settings.

    Attributes:
        kinds: Kinds of sentence whose embeddings `forward` takes after the frames, in this order.
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
        """Number of iterative problems that have not converged since the last call; None where nothing iterates."""
        return None


class PlanMatcher(Matcher):
    """A matcher that assigns frames to descriptors by a plan, which can be shown.

    Attributes:
        kinds: Kinds of descriptor that are matched.
    """

    kinds: tuple[DescriptorKind, ...]

    @abstractmethod
    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        """The matching flow of each video to the descriptors of each class.

        Args:
            frames: (B, T, d), L2-normalized.
            descriptors: (K, N, d), L2-normalized.
            kind: Kind of these descriptors.

        Returns:
            Cosines and plan, each (B, K, T, N); the plan is the share of the mass between a frame and a descriptor.
        """


class CategoryName(Matcher):
    """The baseline: mean-pooled frames against the sentence of the category name (Eq. 8).

    Several templates are averaged and normalized, as CLIP does.

    Example:
        One video of two frames, two classes with one template each.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> names = torch.tensor([[[0.0, 1.0]], [[0.8, 0.6]]])
        >>> CategoryName()(frames, names)
        tensor([[0.4000, 0.8800]])
    """

    kinds = ("name",)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d) and names (K, templates, d)."""
        (names,) = texts
        return frames.mean(1) @ F.normalize(names.mean(1), dim=-1).T


class PooledDescriptors(Matcher):
    """All descriptors of a class and its name averaged to one vector ("Descriptors" in Table 4a).

    Averages are not normalized again, as released (Eq. 9).

    Example:
        One video of two frames, one class with one descriptor of each kind.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> name, spatio, temporal = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]], [[[0.8, 0.6]]]])
        >>> PooledDescriptors()(frames, name, spatio, temporal)
        tensor([[0.6933]])
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

    averaged over the two kinds k: token-wise maxima as in FILIP (Yao et al., ICLR 2022). A comparison for transport.

    Args:
        direction: Side that takes its best partners.

    Example:
        One video of two frames, one class with two descriptors, the same for both kinds.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> descriptors = torch.tensor([[[1.0, 0.0], [0.8, -0.6]]])
        >>> MaxSimilarity()(frames, descriptors, descriptors)
        tensor([[0.8000]])
        >>> MaxSimilarity("descriptors_to_frames")(frames, descriptors, descriptors)
        tensor([[0.9000]])
    """

    kinds = DESCRIPTOR_KINDS

    def __init__(self, direction: Direction = "frames_to_descriptors") -> None:
        super().__init__()
        self.direction = direction

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        partners = _PARTNERS[self.direction]
        scores = [pairwise_cosines(frames, descriptors).amax(partners).mean(-1) for descriptors in texts]
        return torch.stack(scores).mean(0)


class SoftmaxMatching(Matcher):
    r"""Soft matching with one marginal: every frame spreads its mass over descriptors, or every descriptor over frames.

    .. math:: S^k = \frac{1}{T} \sum_{tn} \mathrm{softmax}_n(\cos_{tn} / \tau) \cos_{tn}

    averaged over the two kinds k; cross-attention without learned projections. Transport becomes this when the
    descriptors' marginal is given up (`descriptor_rho` towards 0). A comparison for transport. Gradients flow through
    the weights too.

    Args:
        temperature: tau, > 0; the counterpart of transport's epsilon.
        direction: Side that spreads its mass.

    Example:
        One video of two frames, one class with two descriptors, the same for both kinds.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> descriptors = torch.tensor([[[1.0, 0.0], [0.8, -0.6]]])
        >>> SoftmaxMatching(temperature=0.1)(frames, descriptors, descriptors)
        tensor([[0.7873]])
    """

    kinds = DESCRIPTOR_KINDS

    def __init__(self, temperature: float = 0.1, direction: Direction = "frames_to_descriptors") -> None:
        super().__init__()
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UserError(f"SoftmaxMatching.temperature must be a positive number, not {temperature}.")
        self.temperature, self.direction = temperature, direction

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        return torch.stack([self._score(pairwise_cosines(frames, descriptors)) for descriptors in texts]).mean(0)

    def _score(self, cosines: Tensor) -> Tensor:
        partners = _PARTNERS[self.direction]
        shares = (cosines.float() / self.temperature).softmax(partners)
        return (shares * cosines).sum(partners).mean(-1)


def pairwise_cosines(frames: Tensor, descriptors: Tensor) -> Tensor:
    """Cosines of unit vectors (B, T, d) and (K, N, d), (B, K, T, N)."""
    return torch.einsum("btd,knd->bktn", frames, descriptors)
