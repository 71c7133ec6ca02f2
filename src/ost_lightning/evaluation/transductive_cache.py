"""A cache of confident test videos that adapts scores without training and without labels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import UserError

_SMALLEST: Final = 1e-12
"""Probability below which logarithms are cut off."""
_CHUNK: Final = 256
"""Number of videos that are compared with the cache at once."""


@dataclass(frozen=True)  # without slots, which the parser of settings can't read defaults from
class TransductiveCache:
    r"""Test-time adapter whose cache keeps, for each class, the videos that are most confidently of it.

    After TDA (Karmanov et al., "Efficient test-time adaptation of vision-language models", CVPR 2024). A video with
    the class probabilities p belongs to the cache of its likeliest class if it is among those of least entropy there.
    With the cached videos u of class k, the logit of class k becomes

    .. math:: \log p_k + \alpha \sum_{u \in C_k} e^{-\beta (1 - \cos(v, u))}

    The cosine is the mean over frames of that between frames at the same place, so a video is near another one that
    shows the same steps at the same time. Frames are centered at the mean of the videos.

    By default, the cache is filled with all videos of the test before any is adapted, so that their order changes
    nothing. With `online`, videos arrive one by one, and each is adapted by itself and those before it, as in TDA.
    Either way a score depends on other test videos: it is transductive, and not comparable with scores that don't.

    Attributes:
        capacity: Number of videos that the cache keeps for each class.
        weight: Weight alpha of the cache, 0 or more; 0 changes nothing.
        sharpness: Sharpness beta of the affinity between videos, > 0.
        online: Whether videos arrive one by one.
        seed: Seed of the order of arrival; None for the order of the list, which is often by class.

    Raises:
        UserError: If a value is out of range.
    """

    capacity: int = 3
    weight: float = 10.0
    sharpness: float = 5.0
    online: bool = False
    seed: int | None = 0

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise UserError(f"TransductiveCache.capacity is {self.capacity}: expected 1 or more.")
        if not (self.weight >= 0 and math.isfinite(self.weight)):
            raise UserError(f"TransductiveCache.weight is {self.weight}: expected 0 or more.")
        if not (self.sharpness > 0 and math.isfinite(self.sharpness)):
            raise UserError(f"TransductiveCache.sharpness is {self.sharpness}: expected a positive number.")

    def arrival(self, ids: Sequence[str]) -> list[int]:
        """Returns the order in which videos arrive, as positions in the list.

        It depends on seed and ids only, not on the order of the list; equal ids arrive as listed.
        """
        if self.seed is None:
            return list(range(len(ids)))
        digests = [blake2b(f"{self.seed}/{id_}".encode(errors="surrogateescape")).digest() for id_ in ids]
        return sorted(range(len(ids)), key=lambda place: (digests[place], place))

    def adapt(self, probabilities: Tensor, frames: Tensor, ids: Sequence[str]) -> Tensor:
        """Returns the probabilities of all videos with the cache.

        Args:
            probabilities: Class probabilities, finite, which sum to 1 for each video, (n, K).
            frames: Frame embeddings, (n, T, d), L2-normalized.
            ids: Ids of the videos.

        Returns:
            Adapted probabilities, fp64 (n, K), in the order of the arguments.
        """
        probabilities, frames = probabilities.double().cpu(), frames.float().cpu()
        # equal entropies are told apart by the arrival, which does not depend on the list
        arrival = self.arrival(ids)
        entropies = -(probabilities * probabilities.clamp(min=_SMALLEST).log()).sum(1)
        guesses, uncertainty = probabilities.argmax(1).tolist(), entropies.tolist()
        cached: list[list[int]] = [[] for _ in range(probabilities.shape[1])]
        adapted = torch.zeros_like(probabilities)
        total = torch.zeros(frames.shape[-1], dtype=torch.float64)
        for arrived, video in enumerate(arrival, start=1):
            of_class = cached[guesses[video]]
            of_class.append(video)
            of_class.sort(key=uncertainty.__getitem__)  # stable: earlier ones stay before equal ones
            del of_class[self.capacity :]
            total += frames[video].double().mean(0)
            if self.online:
                adapted[[video]] = self._adapted(probabilities, frames, [video], cached, total / arrived)
        if not self.online:
            for chunk in _chunks(arrival):
                adapted[chunk] = self._adapted(probabilities, frames, chunk, cached, total / len(arrival))
        return adapted

    def _adapted(
        self, probabilities: Tensor, frames: Tensor, videos: list[int], cached: list[list[int]], center: Tensor
    ) -> Tensor:
        """Returns the adapted probabilities of some videos, fp64 (B, K)."""
        members = torch.tensor([video for of_class in cached for video in of_class])
        labels = torch.tensor([label for label, of_class in enumerate(cached) for _ in of_class])
        these, those = (F.normalize(frames[rows] - center.float(), dim=-1) for rows in (videos, members))
        cosines = (these.flatten(1) @ those.flatten(1).T).double() / frames.shape[1]
        affinity = (-self.sharpness * (1 - cosines)).exp()
        logits = probabilities[videos].clamp(min=_SMALLEST).log()
        return logits.index_add(1, labels, self.weight * affinity).softmax(1)


def _chunks(videos: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(videos), _CHUNK):
        yield videos[start : start + _CHUNK]
