"""Data sets of clips: what a worker process does, and the batch that leaves it."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from ost_lightning.errors import UserError
from ost_lightning.video.annotations import Span, VideoRecord
from ost_lightning.video.clips.sampling import FrameSampler, SampleKey
from ost_lightning.video.decoding.frame_source import CropChooser, CropSpec, VideoReadError
from ost_lightning.video.decoding.reader import open_video
from ost_lightning.video.decoding.scaling import ResizeFilter
from ost_lightning.video.decoding.timeout import READ_TIMEOUT, run_with_timeout


class RandomCrops(Protocol):
    """A training transform: draws the part of the frames that a clip shows."""

    def crop_spec(self, height: int, width: int, generator: torch.Generator) -> CropSpec:
        """Crops of frames of this height and width."""


class FixedCrops(Protocol):
    """An evaluation transform: the parts of the frames that are scored."""

    def crop_spec(self, height: int, width: int) -> CropSpec:
        """Crops of frames of this height and width."""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Settings for reading video files.

    Attributes:
        sample_aspect: Whether to resample non-square pixels to square ones, as a player does; decord and torchcodec do
            not.
        timeout: Seconds after which a read is abandoned; None for no limit.
        resize: Interpolation for resizing.
    """

    sample_aspect: bool = True
    timeout: float | None = READ_TIMEOUT
    resize: ResizeFilter = "bicubic"


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A video that could not be read.

    Attributes:
        id: Of its record.
        reason: Why, with the path.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Clip:
    """One sample.

    Attributes:
        frames: uint8 (V, T, 3, S, S), or None if nothing could be read for it.
        label: Class index.
        id: Of the record that was read.
        failures: Videos that were tried in vain.
        seed: Of what is drawn for the clip on the device; None in evaluation.
        span: Start and end of the record; None in training.
    """

    frames: Tensor | None
    label: int
    id: str
    failures: tuple[ReadFailure, ...] = ()
    seed: int | None = None
    span: Span | None = None

    def __repr__(self) -> str:
        frames = None if self.frames is None else tuple(self.frames.shape)
        return f"Clip(id={self.id!r}, label={self.label}, frames={frames}, failures={len(self.failures)})"


@dataclass(slots=True)  # Lightning can't convert frozen ones to a run's precision
class ClipBatch:
    """What a loader yields. Pixels stay uint8 until they are on the device.

    Attributes:
        frames: uint8 (B, V, T, 3, S, S); zeros where nothing could be read.
        labels: int64 (B,).
        decoded: bool (B,), False where nothing could be read; stays in host memory.
        ids: B record ids.
        failures: Videos that were tried in vain for this batch; in evaluation those that are not decoded, in order.
        seeds: Of what is yet to be drawn for each clip on the device; empty in evaluation, and once it is done.
        spans: B starts and ends of the records; empty in training.
        embeddings: Frame embeddings fp32 (B', V, T, d) of the B' readable videos, by the name of the weights; filled as
            they become known, never an argument. Where they come from a cache, the frames have no pixels:
            (B, V, T, 3, 0, 0).
        keys: B keys of the clips in a cache of embeddings, empty for a file that is not there; nothing if there is no
            cache.
    """

    frames: Tensor
    labels: Tensor
    decoded: Tensor
    ids: tuple[str, ...]
    failures: tuple[ReadFailure, ...] = ()
    seeds: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()
    # what is an argument Lightning converts to a run's precision: known embeddings would be rounded once more
    embeddings: dict[str, Tensor] = field(default_factory=dict, init=False)
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.ids)
        if (
            self.frames.ndim != 6
            or self.frames.dtype != torch.uint8
            or not size == len(self.frames) == len(self.labels) == len(self.decoded)
        ):
            raise ValueError(
                f"not a batch of clips: frames {tuple(self.frames.shape)} {self.frames.dtype}, labels "
                f"{tuple(self.labels.shape)}, "
                f"decoded {tuple(self.decoded.shape)}, {size} ids"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Moves the tensors."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copies the tensors to page-locked memory; the loader calls it."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed = replace(self, frames=change(self.frames), labels=change(self.labels))
        changed.embeddings = {weights: change(embedded) for weights, embedded in self.embeddings.items()}
        return changed


def collate_clips(clips: Sequence[Clip | UserError]) -> ClipBatch | UserError:
    """Stacks clips. Errors travel as values, because an exception loses its type on the way out of a worker."""
    good: list[Clip] = []
    for clip in clips:
        if isinstance(clip, UserError):
            return clip
        good.append(clip)
    failures = tuple(failure for clip in good for failure in clip.failures)
    shape = next((clip.frames.shape for clip in good if clip.frames is not None), None)
    if shape is None:
        shape = torch.Size((1, 1, 3, 1, 1))
    frames = [clip.frames if clip.frames is not None else torch.zeros(shape, dtype=torch.uint8) for clip in good]
    return ClipBatch(
        frames=_stack(frames),
        labels=torch.tensor([clip.label for clip in good]),
        decoded=torch.tensor([clip.frames is not None for clip in good]),
        ids=tuple(clip.id for clip in good),
        failures=failures,
        seeds=tuple(clip.seed for clip in good if clip.seed is not None),
        spans=tuple(clip.span for clip in good if clip.span is not None),
    )


def _stack(clips: list[Tensor]) -> Tensor:
    """(B, *clip), in the clips' own memory layout: plain copies."""
    side_by_side = all(clip.stride(-3) == 1 for clip in clips)
    plain = [clip.movedim(-3, -1) for clip in clips] if side_by_side else clips
    # a worker stacks straight into shared memory; numpy takes huge pages, which are there three times as soon
    stacked: Tensor = (
        default_collate(plain) if get_worker_info() else torch.from_numpy(np.stack([clip.numpy() for clip in plain]))
    )
    return stacked.movedim(-1, -3) if side_by_side else stacked


class TrainingClips(Dataset[Clip | UserError]):
    """Augmented clips. What is drawn for a sample depends on (seed, epoch, index) only, not on who draws it.

    A video that can't be read is replaced by another of its class.

    Args:
        records: Videos with labels.
        sampler: Chooses the frames.
        transform: Chooses the part of the pictures.
        short_side: Pixels of the shorter side that crops refer to.
        seed: Of everything random.
        max_replacements: How many other videos are tried for one sample.
        reading: How files are read.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        sampler: FrameSampler,
        transform: RandomCrops,
        short_side: int,
        seed: int,
        max_replacements: int = 10,
        reading: ReadSettings = ReadSettings(),  # frozen
    ) -> None:
        self.records, self.sampler, self.transform, self.short_side = records, sampler, transform, short_side
        self.seed, self.max_replacements, self.reading = seed, max_replacements, reading
        self._by_label: defaultdict[int, list[VideoRecord]] = defaultdict(list)
        for record in records:
            self._by_label[record.label].append(record)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> Clip | UserError:
        seed = int.from_bytes(blake2b(f"{self.seed}/{key.epoch}/{key.index}".encode(), digest_size=8).digest())
        wanted = self.records[key.index]
        failures: list[ReadFailure] = []
        for record in (wanted, *self._replacements(wanted, seed)):
            generator = torch.Generator().manual_seed(seed)
            choose = partial(self.sampler.random, generator=generator)
            crop_spec = partial(self.transform.crop_spec, generator=generator)
            try:
                frames = _read(record, choose, self.short_side, crop_spec, self.reading)
            except VideoReadError as error:
                failures.append(ReadFailure(record.id, str(error)))
            except UserError as error:
                return error
            else:
                return Clip(frames, record.label, record.id, tuple(failures), seed)
        return Clip(None, wanted.label, wanted.id, tuple(failures), seed)

    def _replacements(self, record: VideoRecord, seed: int) -> list[VideoRecord]:
        others = [other for other in self._by_label[record.label] if other is not record]
        return random.Random(seed).sample(others, min(len(others), self.max_replacements))


class EvaluationClips(Dataset[Clip | UserError]):
    """Each video as it is: fixed frames, fixed crops.

    One that can't be read becomes a clip without frames, never another video.

    Args:
        records: Videos with labels.
        sampler: Chooses the frames.
        transform: Chooses the crops.
        short_side: Pixels of the shorter side that crops refer to.
        reading: How files are read.
        view_seed: Draws the frames of the views at random, as in training, from this seed and the video's id; without
            it they are fixed.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        sampler: FrameSampler,
        transform: FixedCrops,
        short_side: int,
        reading: ReadSettings = ReadSettings(),  # frozen
        view_seed: int | None = None,
    ) -> None:
        self.records, self.sampler, self.transform, self.short_side = records, sampler, transform, short_side
        self.reading, self.view_seed = reading, view_seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> Clip | UserError:
        record = self.records[key.index]
        try:
            frames = _read(record, self._choice(record), self.short_side, self.transform.crop_spec, self.reading)
        except VideoReadError as error:
            return Clip(None, record.label, record.id, (ReadFailure(record.id, str(error)),), span=record.span)
        except UserError as error:
            return error
        return Clip(frames, record.label, record.id, span=record.span)

    def _choice(self, record: VideoRecord) -> Callable[[int], Tensor]:
        if self.view_seed is None:
            return self.sampler.middle
        seed = int.from_bytes(blake2b(f"{self.view_seed}/{record.id}".encode(), digest_size=8).digest())
        return partial(self.sampler.random, generator=torch.Generator().manual_seed(seed))


def _read(
    record: VideoRecord, choose: Callable[[int], Tensor], short_side: int, crop_spec: CropChooser, reading: ReadSettings
) -> Tensor:
    """Crops of one record, uint8 (V x C, T, 3, S, S); the C crops of a view are adjacent."""

    def read() -> Tensor:
        with open_video(record.path, sample_aspect=reading.sample_aspect, resize=reading.resize) as video:
            span = video.span(record.start, record.end)
            indices = choose(len(span)) + span.start
            crops = video.read_crops(indices.flatten(), short_side, crop_spec)
        views: Tensor = crops.unflatten(1, tuple(indices.shape)).transpose(0, 1).flatten(0, 1)
        return views

    return run_with_timeout(reading.timeout, record.path, read)
