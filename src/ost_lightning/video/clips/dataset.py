"""Data sets of clips, which worker processes read, and the batches that they return."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import chain
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from ost_lightning.errors import UserError
from ost_lightning.video.annotations import Span, VideoRecord
from ost_lightning.video.clips.cropping import crop_frames
from ost_lightning.video.clips.reading import ReadSettings, read_record, read_whole_frames
from ost_lightning.video.clips.sampling import FrameSampler, SampleKey
from ost_lightning.video.decoding.frame_source import CropSpec, VideoReadError


class RandomCrops(Protocol):
    """A training transform: draws the part of the frames that a clip shows, and may change whole frames before."""

    @property
    def changes_frames(self) -> bool:
        """Whether whole frames are changed before crops are taken from them."""

    def change_frames(self, frames: Tensor, seed: int) -> Tensor:
        """Changes the whole frames of a clip, uint8 (T, 3, H, W)."""

    def crop_spec(self, height: int, width: int, generator: torch.Generator) -> CropSpec:
        """Crops of frames of this height and width."""


class FixedCrops(Protocol):
    """An evaluation transform: the parts of the frames that are scored."""

    def crop_spec(self, height: int, width: int) -> CropSpec:
        """Crops of frames of this height and width."""


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A video that could not be read.

    Attributes:
        id: Id of the video's record.
        reason: Reason, with the path.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Clip:
    """One sample.

    Attributes:
        frames: uint8 (V, T, 3, S, S); None if no video could be read for the sample.
        label: Class index.
        id: Id of the record that was read.
        failures: Videos that could not be read.
        seed: Seed for augmenting the clip on the device; None in evaluation.
        span: Start and end of the record; None in training.
        seconds: Times of the frames of the first view, from the video's first frame on; empty unless they were asked
            for, or if frames have no times.
    """

    frames: Tensor | None
    label: int
    id: str
    failures: tuple[ReadFailure, ...] = ()
    seed: int | None = None
    span: Span | None = None
    seconds: tuple[float, ...] = ()

    def __repr__(self) -> str:
        frames = None if self.frames is None else tuple(self.frames.shape)
        return f"Clip(id={self.id!r}, label={self.label}, frames={frames}, failures={len(self.failures)})"


@dataclass(slots=True, repr=False)  # Lightning can't convert frozen ones to a run's precision
class ClipBatch:
    """A batch of decoded clips. Pixels stay uint8 until they are on the device.

    Attributes:
        frames: uint8 (B, V, T, 3, S, S); zeros for unreadable videos.
        labels: int64 (B,).
        decoded: bool (B,), False for unreadable videos; stays in host memory.
        ids: B record ids.
        failures: Videos that could not be read for this batch; in evaluation one for each undecoded clip, in order.
        seeds: Seed for augmenting each clip on the device; empty in evaluation and after the augmentation.
        spans: Start and end of each record; empty in training.
    """

    frames: Tensor
    labels: Tensor
    decoded: Tensor
    ids: tuple[str, ...]
    failures: tuple[ReadFailure, ...] = ()
    seeds: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.ids)
        if (
            self.frames.ndim != 6
            or self.frames.dtype != torch.uint8
            or not size == len(self.frames) == len(self.labels) == len(self.decoded)
        ):
            raise ValueError(
                f"not a batch of clips: frames {tuple(self.frames.shape)} {self.frames.dtype}, labels "
                f"{tuple(self.labels.shape)}, decoded {tuple(self.decoded.shape)}, {size} ids"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shape, unread = tuple(self.frames.shape), int((~self.decoded).sum())
        return f"{type(self).__name__}({len(self)} clips, frames {shape} {self.frames.dtype}, {unread} unreadable)"

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Copies frames and labels to a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copies frames and labels to page-locked memory; the loader calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, frames=change(self.frames), labels=change(self.labels))


def collate_clips(clips: Sequence[Clip | UserError]) -> ClipBatch | UserError:
    """Stacks clips; an error is returned as a value, because an exception loses its type on the way out of a worker."""
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
    # a worker stacks straight into shared memory; numpy allocates huge pages, which takes a third of the time
    stacked: Tensor = (
        default_collate(plain) if get_worker_info() else torch.from_numpy(np.stack([clip.numpy() for clip in plain]))
    )
    return stacked.movedim(-1, -3) if side_by_side else stacked


class TrainingClips(Dataset[Clip | UserError]):
    """Augmented clips. The random numbers of a sample depend on (seed, epoch, index) only, not on the process.

    A video that can't be read is replaced by another of its class.

    Args:
        records: Videos with labels.
        sampler: Sampler that chooses the frames.
        transform: Transform that chooses the part of the frames to show.
        short_side: Pixels of the shorter side that crops refer to.
        seed: Seed for all random numbers.
        max_replacements: Maximum number of other videos to try per sample.
        reading: Settings for reading the files.
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
        reading: ReadSettings = ReadSettings(),  # immutable
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
        for record in chain((wanted,), self._replacements(wanted, seed)):
            try:
                frames = self._frames(record, seed)
            except VideoReadError as error:
                failures.append(ReadFailure(record.id, str(error)))
            except UserError as error:
                return error
            else:
                return Clip(frames, record.label, record.id, tuple(failures), seed)
        return Clip(None, wanted.label, wanted.id, tuple(failures), seed)

    def _frames(self, record: VideoRecord, seed: int) -> Tensor:
        """Reads one clip, uint8 (V, T, 3, S, S)."""
        generator = torch.Generator().manual_seed(seed)
        choose = partial(self.sampler.random, generator=generator)
        crop_spec = partial(self.transform.crop_spec, generator=generator)
        if not self.transform.changes_frames:
            return read_record(record, choose, self.short_side, crop_spec, self.reading)[0]
        whole = read_whole_frames(record, choose, self.short_side, self.reading)
        frames = self.transform.change_frames(whole.flatten(0, 1), seed)
        crops = crop_frames(frames, crop_spec(*frames.shape[-2:]), self.reading.resize)
        views: Tensor = crops.unflatten(1, whole.shape[:2]).transpose(0, 1).flatten(0, 1)
        return views

    def _replacements(self, record: VideoRecord, seed: int) -> Iterator[VideoRecord]:
        # drawn only once a video can't be read, because it looks at all videos of the class
        others = [other for other in self._by_label[record.label] if other is not record]
        yield from random.Random(seed).sample(others, min(len(others), self.max_replacements))


class EvaluationClips(Dataset[Clip | UserError]):
    """Clips for evaluation: fixed frames and fixed crops of every video.

    A video that can't be read becomes a clip without frames; it is never replaced.

    Args:
        records: Videos with labels.
        sampler: Sampler that chooses the frames.
        transform: Transform that chooses the crops.
        short_side: Pixels of the shorter side that crops refer to.
        reading: Settings for reading the files.
        view_seed: Seed that, together with a video's id, determines randomly drawn frames as in training; None for
            fixed frames.
        with_times: Whether clips have the times of their frames.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        sampler: FrameSampler,
        transform: FixedCrops,
        short_side: int,
        reading: ReadSettings = ReadSettings(),  # immutable
        view_seed: int | None = None,
        with_times: bool = False,
    ) -> None:
        self.records, self.sampler, self.transform, self.short_side = records, sampler, transform, short_side
        self.reading, self.view_seed, self.with_times = reading, view_seed, with_times

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> Clip | UserError:
        record = self.records[key.index]
        try:
            frames, seconds = read_record(
                record,
                self._choice(record),
                self.short_side,
                self.transform.crop_spec,
                self.reading,
                with_times=self.with_times,
            )
        except VideoReadError as error:
            return Clip(None, record.label, record.id, (ReadFailure(record.id, str(error)),), span=record.span)
        except UserError as error:
            return error
        return Clip(frames, record.label, record.id, span=record.span, seconds=seconds)

    def seconds_of(self, id_: str) -> tuple[float, ...]:
        """Returns the times of the frames in a record's clip; empty if it can't be read, or its frames have no times.

        Args:
            id_: Id of the record.
        """
        record = next((record for record in self.records if record.id == id_), None)
        if record is None:
            return ()
        spec = self.transform.crop_spec
        try:
            return read_record(record, self._choice(record), self.short_side, spec, self.reading, with_times=True)[1]
        except UserError:
            return ()

    def _choice(self, record: VideoRecord) -> Callable[[int], Tensor]:
        if self.view_seed is None:
            return self.sampler.middle
        seed = int.from_bytes(
            blake2b(f"{self.view_seed}/{record.id}".encode(errors="surrogatepass"), digest_size=8).digest()
        )
        return partial(self.sampler.random, generator=torch.Generator().manual_seed(seed))
