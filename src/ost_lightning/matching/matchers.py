"""Matching mechanisms, from frame and sentence embeddings to similarities: one class per row of Table 4a."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

Direction = Literal["frames_to_descriptors", "descriptors_to_frames"]
"""Side that selects its matches: each frame among the descriptors, or each descriptor among the frames."""
_CANDIDATE_DIM: Final[dict[Direction, int]] = {"frames_to_descriptors": -1, "descriptors_to_frames": -2}
"""Dimension of (B, K, T, N) that holds the candidates of the selecting side."""


class Matcher(nn.Module, ABC):
    """Scores videos against classes.

    A matcher stores each constructor argument as an attribute of the same name: results report its settings from these
    attributes.

    Attributes:
        kinds: Kinds of sentences whose embeddings `forward` takes after the frames, in this order.
    """

    kinds: tuple[SentenceKind, ...]

    @abstractmethod
    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns the similarity of each video to each class.

        Args:
            frames: Frame embeddings, (B, T, d), L2-normalized.
            texts: Sentence embeddings, one tensor (K, N, d) per kind in `kinds`, L2-normalized.

        Returns:
            Similarities, (B, K), in [-1, 1].
        """

    def unconverged(self) -> Tensor | None:
        """Returns how many iterative problems failed to converge since the last call; None if nothing iterates."""
        return None


class PlanMatcher(Matcher):
    """A matcher that assigns frames to descriptors by a plan that can be visualized."""

    @property
    def descriptor_kinds(self) -> tuple[DescriptorKind, ...]:
        """Kinds of descriptor that are matched, which have a plan; names have none."""
        return tuple(kind for kind in self.kinds if kind != "name")

    @abstractmethod
    def cosines_and_plan(self, frames: Tensor, descriptors: Tensor, kind: DescriptorKind) -> tuple[Tensor, Tensor]:
        """Returns the matching flow from each video to the descriptors of each class.

        Args:
            frames: Frame embeddings, (B, T, d), L2-normalized.
            descriptors: Descriptor embeddings, (K, N, d), L2-normalized.
            kind: Kind of these descriptors.

        Returns:
            Cosines and plan, each (B, K, T, N); the plan holds the mass from each frame to each descriptor.
        """


class CategoryName(Matcher):
    """The baseline: mean-pooled frames against the sentence of the category name (Eq. 8).

    The embeddings of several templates are averaged and normalized, as in CLIP.

    Examples:
        One video of two frames, two classes with one template each.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> names = torch.tensor([[[0.0, 1.0]], [[0.8, 0.6]]])
        >>> CategoryName()(frames, names)
        tensor([[0.4000, 0.8800]])
    """

    kinds = ("name",)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d) and names (K, templates, d)."""
        (names,) = texts
        return mean_frame_and_name(frames, names)


class PooledDescriptors(Matcher):
    """All descriptors of a class and its name averaged to one vector ("Descriptors" in Table 4a).

    Averages are not renormalized, as in the released code (Eq. 9).

    Examples:
        One video of two frames, one class with one descriptor of each kind.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> name, spatio, temporal = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]], [[[0.8, 0.6]]]])
        >>> PooledDescriptors()(frames, name, spatio, temporal)
        tensor([[0.6933]])
    """

    kinds = ("name", "spatio", "temporal")

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d), names (K, templates, d) and both descriptors (K, N, d)."""
        names, spatio, temporal = texts
        pooled = torch.cat([names.mean(1, keepdim=True), spatio, temporal], dim=1).mean(1)
        return frames.mean(1) @ pooled.T


class MaxSimilarity(Matcher):
    r"""Hard matching without marginals: each frame takes its best descriptor, or each descriptor its best frame.

    .. math:: S^k = \frac{1}{T} \sum_t \max_n \cos_{tn} \quad or \quad \frac{1}{N} \sum_n \max_t \cos_{tn}

    averaged over the kinds k. The maxima are token-wise, as in FILIP (Yao et al., ICLR 2022). With Temporal Descriptors
    alone, it is the score of JigsawNet (Qian et al., ECCV 2022): the best atomic action of each time step, averaged. A
    baseline for transport.

    Args:
        direction: Side that selects its best match: each frame, or each descriptor.
        kinds: Kinds of descriptors that are matched.

    Raises:
        UserError: If there is no kind, or one is unknown or repeated.

    Examples:
        One video of two frames, one class with two descriptors, the same for both kinds.

        >>> frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        >>> descriptors = torch.tensor([[[1.0, 0.0], [0.8, -0.6]]])
        >>> MaxSimilarity()(frames, descriptors, descriptors)
        tensor([[0.8000]])
        >>> MaxSimilarity("descriptors_to_frames")(frames, descriptors, descriptors)
        tensor([[0.9000]])
    """

    def __init__(
        self, direction: Direction = "frames_to_descriptors", kinds: Sequence[DescriptorKind] = DESCRIPTOR_KINDS
    ) -> None:
        super().__init__()
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(DESCRIPTOR_KINDS):
            raise UserError(
                f"MaxSimilarity.kinds is {list(kinds)}: expected one or two of {', '.join(DESCRIPTOR_KINDS)}."
            )
        self.direction, self.kinds = direction, tuple(kinds)

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Returns similarities (B, K) from frames (B, T, d) and descriptors (K, N, d), one tensor per kind."""
        candidates = _CANDIDATE_DIM[self.direction]
        scores = [pairwise_cosines(frames, descriptors).amax(candidates).mean(-1) for descriptors in texts]
        return torch.stack(scores).mean(0)


class SoftmaxMatching(Matcher):
    r"""Soft matching with one marginal: each frame spreads its mass over descriptors, or each descriptor over frames.

    .. math:: S^k = \frac{1}{T} \sum_{tn} \mathrm{softmax}_n(\cos_{tn} / \tau) \cos_{tn}

    averaged over the two kinds k. This is cross-attention without learned projections, and the limit of transport as
    the descriptors' marginal is dropped (`descriptor_rho` towards 0). Gradients also flow through the weights. A
    baseline for transport.

    Args:
        temperature: Temperature tau, > 0; the counterpart of transport's epsilon.
        direction: Side that spreads its mass: each frame, or each descriptor.

    Examples:
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
        """Returns similarities (B, K) from frames (B, T, d), Spatio and Temporal Descriptors (K, N, d)."""
        return torch.stack([self._score(pairwise_cosines(frames, descriptors)) for descriptors in texts]).mean(0)

    def _score(self, cosines: Tensor) -> Tensor:
        candidates = _CANDIDATE_DIM[self.direction]
        shares = (cosines.float() / self.temperature).softmax(candidates)
        return (shares * cosines).sum(candidates).mean(-1)


def mean_frame_and_name(frames: Tensor, names: Tensor) -> Tensor:
    """Returns the similarities (B, K) of mean frames, from (B, T, d), and category names (K, sentences, d) (Eq. 8)."""
    return frames.mean(1) @ unit_name(names).T


def unit_name(names: Tensor) -> Tensor:
    """Returns the unit vector of each category name, (K, d), from those of its sentences (K, sentences, d)."""
    return F.normalize(names.mean(1), dim=-1)


def pairwise_cosines(frames: Tensor, descriptors: Tensor) -> Tensor:
    """Returns the cosines (B, K, T, N) between unit vectors (B, T, d) and (K, N, d)."""
    return torch.einsum("btd,knd->bktn", frames, descriptors)
