"""Evaluation clips of which only those are decoded whose embeddings are not known."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ost_lightning.errors import UserError
from ost_lightning.evaluation.batches import EmbeddedBatch, KeyedClipBatch
from ost_lightning.evaluation.embedding_store import EmbeddingStore
from ost_lightning.models import ClipKeys
from ost_lightning.video import Clip, ClipBatch, EvaluationClips, SampleKey, collate_clips


class CachedClips(Dataset[Any]):
    """Whole batches: an `EmbeddedBatch` if every readable video of the batch is stored, else a `KeyedClipBatch`.

    A batch is decoded as a whole, so that its embeddings are, bit by bit, what they are without a cache. Videos that
    can't be read are tried again each time, and reported as without a cache.

    Args:
        clips: How a video becomes a clip.
        store: Embeddings that are known.
    """

    def __init__(self, clips: EvaluationClips, store: EmbeddingStore) -> None:
        self.clips, self.store = clips, store
        self._keys = ClipKeys(clips)

    def __len__(self) -> int:
        return len(self.clips)

    @staticmethod
    def collate(
        batch: EmbeddedBatch | KeyedClipBatch | UserError,
    ) -> EmbeddedBatch | KeyedClipBatch | UserError:
        """The batch as it is: `__getitems__` has made one already."""
        return batch

    def __getitems__(self, keys: Sequence[SampleKey]) -> EmbeddedBatch | KeyedClipBatch | UserError:
        """One batch; the loader asks for all of its samples at once."""
        names = [self._keys.of(self.clips.records[key.index]) for key in keys]
        known = [self.store.load(name) if name is not None else None for name in names]
        # only what is not known is opened; if that turns out to be unreadable, nothing else has to be
        clips = {key: self.clips[key] for key, found in zip(keys, known, strict=True) if found is None}
        if all(isinstance(clip, Clip) and clip.frames is None for clip in clips.values()) and len(clips) < len(keys):
            return self._embedded(keys, known, clips)
        batch = collate_clips([clips[key] if key in clips else self.clips[key] for key in keys])
        return _with_keys(batch, tuple(name or "" for name in names)) if isinstance(batch, ClipBatch) else batch

    def _embedded(
        self,
        keys: Sequence[SampleKey],
        known: Sequence[Mapping[str, Tensor] | None],
        unreadable: Mapping[SampleKey, Clip | UserError],
    ) -> EmbeddedBatch:
        records = [self.clips.records[key.index] for key in keys]
        there = [found for found in known if found is not None]
        return EmbeddedBatch(
            {weights: torch.stack([found[weights] for found in there]) for weights in there[0]},
            labels=torch.tensor([record.label for record in records]),
            decoded=torch.tensor([found is not None for found in known]),
            ids=tuple(record.id for record in records),
            failures=tuple(
                failure for clip in unreadable.values() if isinstance(clip, Clip) for failure in clip.failures
            ),
            spans=tuple(record.span for record in records),
        )


def _with_keys(batch: ClipBatch, keys: tuple[str, ...]) -> KeyedClipBatch:
    return KeyedClipBatch(**{field.name: getattr(batch, field.name) for field in fields(batch)}, keys=keys)
