"""Evaluation clips that are decoded only if their embeddings are not cached."""

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
    """Complete batches: an `EmbeddedBatch` if all readable videos of a batch are stored, else a `KeyedClipBatch`.

    If any embedding is missing, the entire batch is decoded, so that embeddings are bit-identical to those without a
    cache. Unreadable videos are retried each time, and reported as they would be without a cache.

    Args:
        clips: Data set that decodes videos into clips.
        store: Store of cached embeddings.
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
        """Returns the batch unchanged, because `__getitems__` has already collated it."""
        return batch

    def __getitems__(self, keys: Sequence[SampleKey]) -> EmbeddedBatch | KeyedClipBatch | UserError:
        """Returns one batch; the loader requests all of its samples at once."""
        names = [self._keys.of(self.clips.records[key.index]) for key in keys]
        cached = [self.store.load(name) if name is not None else None for name in names]
        # open only videos that are not cached; if all of those are unreadable, the others need no decoding
        clips = {key: self.clips[key] for key, found in zip(keys, cached, strict=True) if found is None}
        if all(isinstance(clip, Clip) and clip.frames is None for clip in clips.values()) and len(clips) < len(keys):
            return self._embedded(keys, cached, clips)
        batch = collate_clips([clips[key] if key in clips else self.clips[key] for key in keys])
        return _with_keys(batch, tuple(name or "" for name in names)) if isinstance(batch, ClipBatch) else batch

    def _embedded(
        self,
        keys: Sequence[SampleKey],
        cached: Sequence[Mapping[str, Tensor] | None],
        unreadable: Mapping[SampleKey, Clip | UserError],
    ) -> EmbeddedBatch:
        records = [self.clips.records[key.index] for key in keys]
        readable = [found for found in cached if found is not None]
        return EmbeddedBatch(
            {weights: torch.stack([found[weights] for found in readable]) for weights in readable[0]},
            labels=torch.tensor([record.label for record in records]),
            decoded=torch.tensor([found is not None for found in cached]),
            ids=tuple(record.id for record in records),
            failures=tuple(
                failure for clip in unreadable.values() if isinstance(clip, Clip) for failure in clip.failures
            ),
            spans=tuple(record.span for record in records),
        )


def _with_keys(batch: ClipBatch, keys: tuple[str, ...]) -> KeyedClipBatch:
    return KeyedClipBatch(**{field.name: getattr(batch, field.name) for field in fields(batch)}, keys=keys)
