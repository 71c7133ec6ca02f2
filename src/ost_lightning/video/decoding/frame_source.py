"""Frames of a video as tensors, by index or time, whether it is a file or a folder of frames."""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.video.decoding.scaling import Box, FrameScaler, Pixels
from ost_lightning.video.storage.addresses import VideoAddress
from ost_lightning.vocabulary import counted

_BATCH_PIXELS: Final = 8 * 340 * 256
"""Number of decoded pixels that are collected before they are converted."""


class VideoReadError(UserError):
    """A file can't be read as a video, or not up to the requested frames.

    Attributes:
        path: Path of the file; for a member of a shard, the shard's path and the member's name.
        reason: What is wrong with the file.
    """

    def __init__(self, path: VideoAddress, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = without_passwords(str(path)), without_passwords(reason)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True)
class CropSpec:
    """Square crops, the same for all frames of a clip.

    Attributes:
        boxes: C parts of the frame, in pixels of the frame after resizing; each is scaled to a square.
        side: S, side of the square crops in pixels.
        flip: Whether the crops are mirrored.
    """

    boxes: tuple[Box, ...]
    side: int
    flip: bool = False


CropChooser = Callable[[int, int], CropSpec]
"""Chooses the crops for frames of a height and width."""


class FrameSource(ABC):
    """Frames of one open video; use it in a `with` statement.

    Attributes:
        path: Address of the video.
        rate: Average number of frames per second; 0 if unknown.
        width: Width in pixels as stored, before any rotation.
        height: Height in pixels as stored, before any rotation.
        codec: FFmpeg's name of the codec.
        scaler: Converter of the decoded frames.
    """

    rate: float
    width: int
    height: int
    codec: str
    scaler: FrameScaler

    def __init__(self, path: VideoAddress) -> None:
        self.path = path

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames, in presentation order."""

    @abstractmethod
    def _seconds(self) -> Sequence[float]:
        """Time of each frame from the first one on, in seconds, ascending."""

    @abstractmethod
    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes frames (ascending, distinct indices) and yields each with its index, in any order."""

    @abstractmethod
    def close(self) -> None:
        """Closes the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path}, {len(self)} frames, {self.width} x {self.height}, {self.codec})"

    def span(self, start: float | None = None, end: float | None = None) -> range:
        """Returns the indices of the frames shown in part of the video.

        Args:
            start: Seconds from the first frame; None for the beginning.
            end: Seconds from the first frame, exclusive; None for the end.

        Raises:
            VideoReadError: If no frame lies in between, or the frames have no times.
        """
        if start is None and end is None:
            return range(len(self))
        seconds = self._seconds()
        first = 0 if start is None else bisect_left(seconds, start)
        last = len(seconds) if end is None else bisect_left(seconds, end)
        if first >= last:
            until = "the end" if end is None else f"{end:g} s"
            raise VideoReadError(
                self.path, f"no frame between {start or 0:g} s and {until}: the last one is at {seconds[-1]:.2f} s"
            )
        return range(first, last)

    def indices_at(self, times: Sequence[float]) -> list[int]:
        """Returns the indices of the frames that are on screen at some times.

        Args:
            times: Seconds from the first frame.

        Raises:
            VideoReadError: If a time is before the first frame, or the frames have no times.
        """
        seconds = self._seconds()
        if early := [time for time in times if not time >= 0]:
            raise VideoReadError(self.path, f"no frame is shown at {early[0]:g} s: times count from the first frame")
        return [bisect_right(seconds, time) - 1 for time in times]

    def times(self, indices: Sequence[int]) -> list[float]:
        """Returns the times at which frames appear, in seconds from the first frame.

        Args:
            indices: Frames in presentation order.

        Raises:
            VideoReadError: If the frames have no times.
        """
        seconds = self._seconds()
        return [seconds[index] for index in indices]

    def read(self, indices: Sequence[int] | Tensor, short_side: int | None = None) -> Tensor:
        """Decodes whole frames.

        Args:
            indices: Frames in presentation order, each in [0, len(self)); any order, repetition allowed.
            short_side: Length of the shorter side in pixels after resizing (aspect ratio kept, in the same pass as the
                color conversion); None keeps the size.

        Returns:
            uint8 (T, 3, H, W), RGB, upright, in the order of `indices`; the memory layout is FFmpeg's, which may have
            the color channels last.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        slots = self._slots(indices)
        clip: Pixels | None = None
        for index, frame in _batched(self._same_size(slots, short_side)):
            slot, *others = slots[index]
            if clip is None:
                picture = self.scaler.whole(frame, short_side)
                clip = _empty_like(picture, (len(indices),))
                clip[slot] = picture
            else:
                self.scaler.whole(frame, short_side, clip[slot])
            if others:
                clip[others] = clip[slot]
        if clip is None:
            raise ValueError("no frames were requested")
        return torch.from_numpy(clip)

    def read_crops(self, indices: Sequence[int] | Tensor, short_side: int, choose: CropChooser) -> Tensor:
        """Decodes frames and converts only the cropped parts of them, each resampled once.

        Args:
            indices: Frames in presentation order; any order, repetition allowed.
            short_side: Length in pixels of the shorter side that the boxes refer to.
            choose: Chooses C crops; called once, with height and width of the resized frame.

        Returns:
            uint8 (C, T, 3, S, S), RGB, upright; the memory layout is FFmpeg's.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        slots = self._slots(indices)
        clips: Pixels | None = None
        crops: CropSpec | None = None
        for index, frame in _batched(self._same_size(slots, short_side)):
            slot, *others = slots[index]
            if clips is None or crops is None:
                crops = choose(*self.scaler.size(frame, short_side))
                parts = [self.scaler.part(frame, short_side, box, crops.side) for box in crops.boxes]
                clips = _empty_like(parts[0], (len(parts), len(indices)))
                clips[:, slot] = parts
            else:
                for crop, box in enumerate(crops.boxes):
                    self.scaler.part(frame, short_side, box, crops.side, clips[crop, slot])
            if others:
                clips[:, others] = clips[:, [slot]]
        if clips is None or crops is None:
            raise ValueError("no frames were requested")
        frames = torch.from_numpy(clips)
        # all frames in one call: torch mirrors with vector instructions in either memory layout
        return frames.flatten(0, 1).flip(-1).unflatten(0, frames.shape[:2]) if crops.flip else frames

    def stream_crops(
        self, indices: Iterable[int], short_side: int, choose: CropChooser
    ) -> Iterator[tuple[int, Tensor]]:
        """Decodes frames one after the other, so that memory does not grow with their number.

        Args:
            indices: Frames in presentation order; each is decoded once.
            short_side: Length in pixels of the shorter side that the boxes refer to.
            choose: Chooses C crops, without flip; called once, with height and width of the resized frame.

        Yields:
            Index of a frame and its crops as in `read_crops`, uint8 (C, 3, S, S); almost in the order of the indices.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        crops: CropSpec | None = None
        for index, frame in _batched(self._same_size(self._slots(list(indices)), short_side)):
            crops = crops or choose(*self.scaler.size(frame, short_side))
            parts = [self.scaler.part(frame, short_side, box, crops.side) for box in crops.boxes]
            yield index, torch.from_numpy(np.stack(parts))

    def starts(self) -> Sequence[int]:
        """Returns the indices of the frames at which decoding can begin, ascending."""
        return range(len(self))

    def frames_in_order(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decodes all frames one after the other and yields each with its time in seconds.

        Raises:
            VideoReadError: If a frame can't be decoded.
        """
        seconds = self._seconds()
        for index, frame in self._checked_frames({index: [index] for index in range(len(self))}):
            yield seconds[index], frame

    def _same_size(self, slots: dict[int, list[int]], short_side: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes frames that have the same size after resizing, and yields each with its index."""
        size: tuple[int, int] | None = None
        for index, frame in self._checked_frames(slots):
            size = size or self.scaler.size(frame, short_side)
            if size != self.scaler.size(frame, short_side):
                raise VideoReadError(self.path, f"the pictures change their size at frame {index}")
            yield index, frame

    def _slots(self, indices: Sequence[int] | Tensor) -> dict[int, list[int]]:
        """Positions of each wanted frame in the clip, by frame index."""
        slots: dict[int, list[int]] = {}
        whole = indices.tolist() if isinstance(indices, Tensor) else map(int, indices)
        for slot, index in enumerate(whole):
            if not 0 <= index < len(self):
                raise VideoReadError(
                    self.path,
                    f"frame {index} does not exist: the video has {counted(len(self), 'frame')} (0 to {len(self) - 1})",
                )
            slots.setdefault(index, []).append(slot)
        return slots

    def _checked_frames(self, slots: dict[int, list[int]]) -> Iterator[tuple[int, av.VideoFrame]]:
        missing = set(slots)
        for index, frame in self._frames(sorted(slots)):
            if frame.is_corrupt:
                raise VideoReadError(self.path, f"frame {index} of {len(self)} is damaged")
            try:
                self.scaler.orientation(frame)
            except ValueError as error:
                raise VideoReadError(self.path, str(error)) from error
            missing.discard(index)
            yield index, frame
        if missing:
            raise VideoReadError(self.path, f"frame {min(missing)} of {len(self)} could not be decoded")


def _batched(frames: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Collects small frames before yielding them, which halves the time of their conversion.

    Decoding evicts the converter's data from the processor's caches; converting several frames in a row reuses it.
    """
    held: list[tuple[int, av.VideoFrame]] = []
    pixels = 0
    try:
        for entry in frames:
            held.append(entry)
            pixels += entry[1].width * entry[1].height
            if pixels >= _BATCH_PIXELS:
                yield from held
                held, pixels = [], 0
    except VideoReadError:
        yield from held  # not lost with the damaged frame behind them
        raise
    yield from held


def _empty_like(picture: Pixels, lead: tuple[int, ...]) -> Pixels:
    """Uninitialized array (*lead, 3, H, W) in the memory layout of a picture (3, H, W): channels first or last."""
    height, width = picture.shape[1:]
    if picture.strides[0] == 1:
        return np.moveaxis(np.empty((*lead, height, width, 3), np.uint8), -1, -3)
    return np.empty((*lead, 3, height, width), np.uint8)


def error_text(error: Exception) -> str:
    """Returns a library's error message without the path, which the caller adds."""
    return str(getattr(error, "strerror", None) or error)
