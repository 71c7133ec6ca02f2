"""A batch of features of videos, with the names of objects in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

CONCEPTS_USED: Final = 5
"""Number of a video's most likely objects that are used."""


@dataclass(slots=True)
class FeatureBatch:
    """Features, labels and objects of B videos.

    Attributes:
        features: Video features, fp32 (B, W).
        labels: Class of each video, int64 (B,).
        objects: Text of the objects in each video.
        concepts: The C different objects in the batch.
        own: Whether an object is one of a video's own, bool (B, C).
    """

    features: Tensor
    labels: Tensor
    objects: tuple[str, ...]
    concepts: tuple[str, ...]
    own: Tensor


def collate_features(samples: Sequence[tuple[Tensor, int, Sequence[str]]]) -> FeatureBatch:
    """Returns a batch of samples, each with feature (W,), label, and objects, the most likely first."""
    used = [tuple(concepts[:CONCEPTS_USED]) for _, _, concepts in samples]
    different = tuple(dict.fromkeys(concept for concepts in used for concept in concepts))
    return FeatureBatch(
        torch.stack([feature for feature, _, _ in samples]),
        torch.tensor([label for _, label, _ in samples]),
        tuple(" ".join(concepts) for concepts in used),
        different,
        torch.tensor([[concept in concepts for concept in different] for concepts in used]),
    )
