"""Evaluation clips of which only those are decoded whose embeddings are not known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ost_lightning.errors import UserError
from ost_lightning.models.embedding_cache import EmbeddingCache
from ost_lightning.models.fingerprints import ClipKeys
from ost_lightning.video import Clip, ClipBatch, EvaluationClips, SampleKey, collate_clips


class CachedClips(Dataset[Any]):
    """Whole batches: with embeddings and without pixels if every readable video of the batch is cached, else decoded.

    A batch is decoded as a whole, so that its embeddings are, bit by bit, what they are without a cache. Videos that
    can't be read are tried again each time: what is wrong with them is reported as ever.

    Args:
        clips: How a video becomes a clip.
        cache: Of frame embeddings.
        weights: Fingerprints of all weights that will look at the clips, by the weights' name.
    """

    def __init__(self, clips: EvaluationClips, cache: EmbeddingCache, weights: Mapping[str, str]) -> None:
        self.clips, self.cache, self.weights = clips, cache, dict(weights)
        self._keys = ClipKeys(clips)

    def __len__(self) -> int:
        return len(self.clips)

    @staticmethod
    def collate(batch: ClipBatch | UserError) -> ClipBatch | UserError:
        """What the loader gets here is a batch already."""
        return batch

    def __getitems__(self, keys: Sequence[SampleKey]) -> ClipBatch | UserError:
        """One batch; the loader asks for it at once."""
        names = [self._keys.of(self.clips.records[key.index]) for key in keys]
        known = [self._embeddings(name) for name in names]
        # only what is not known is opened; if that turns out to be unreadable, nothing else has to be
        clips = {key: self.clips[key] for key, found in zip(keys, known, strict=True) if found is None}
        if all(isinstance(clip, Clip) and clip.frames is None for clip in clips.values()) and len(clips) < len(keys):
            return self._without_pixels(keys, known, clips)
        batch = collate_clips([clips[key] if key in clips else self.clips[key] for key in keys])
        return replace(batch, keys=tuple(name or "" for name in names)) if isinstance(batch, ClipBatch) else batch

    def _embeddings(self, name: str | None) -> Mapping[str, Tensor] | None:
        """(V, T, d) by the weights' name, or None unless all weights' are there."""
        if name is None:
            return None
        found: dict[str, Tensor] = {}
        for weights, fingerprint in self.weights.items():
            embeddings = self.cache.load(fingerprint, name)
            if embeddings is None:
                return None
            found[weights] = embeddings
        return found

    def _without_pixels(
        self,
        keys: Sequence[SampleKey],
        known: Sequence[Mapping[str, Tensor] | None],
        unreadable: Mapping[SampleKey, Clip | UserError],
    ) -> ClipBatch:
        records = [self.clips.records[key.index] for key in keys]
        there = [found for found in known if found is not None]
        views, frames = next(iter(there[0].values())).shape[:2]
        batch = ClipBatch(
            frames=torch.zeros((len(keys), views, frames, 3, 0, 0), dtype=torch.uint8),
            labels=torch.tensor([record.label for record in records]),
            decoded=torch.tensor([found is not None for found in known]),
            ids=tuple(record.id for record in records),
            failures=tuple(
                failure for clip in unreadable.values() if isinstance(clip, Clip) for failure in clip.failures
            ),
            spans=tuple(record.span for record in records),
        )
        batch.embeddings = {weights: torch.stack([found[weights] for found in there]) for weights in self.weights}
        return batch
