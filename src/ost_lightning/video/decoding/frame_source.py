"""What a video file and a folder of frames have in common: frames by index or time, as tensors."""

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
from ost_lightning.video.decoding.scaling import Box, FrameScaler, Pixels
from ost_lightning.video.storage.addresses import VideoAddress

_HELD_PIXELS: Final = 8 * 340 * 256
"""Of frames that are converted together."""


class VideoReadError(UserError):
    """A file can't be read as a video, or not up to the frames asked for.

    Attributes:
        path: The file; for a shard's member, the shard and its name.
        reason: What is wrong with it.
    """

    def __init__(self, path: VideoAddress, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True)
class CropSpec:
    """Which parts of the pictures become squares, the same in all frames of a clip.

    Attributes:
        boxes: C parts, in pixels of the picture after resizing.
        side: S.
        flip: Whether they are mirrored.
    """

    boxes: tuple[Box, ...]
    side: int
    flip: bool = False


CropChooser = Callable[[int, int], CropSpec]
"""Chooses the squares for pictures of a height and width."""


class FrameSource(ABC):
    """Frames of one video, opened; use it in a `with` statement.

    Attributes:
        path: Its address.
        rate: Frames a second on average; 0 if not known.
        width: Pixels as stored, before any rotation.
        height: Pixels as stored, before any rotation.
        codec: FFmpeg's name of the codec.
        scaler: Converts its frames.
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
        """When each frame is shown, from the first one on, ascending."""

    @abstractmethod
    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes frames (ascending, distinct indices), each with its index, in any order."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def span(self, start: float | None = None, end: float | None = None) -> range:
        """The frames shown in part of the video.

        Args:
            start: Seconds from the first frame; None is the beginning.
            end: Seconds; None is the end.

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
        """The frames that are on the screen at some times.

        Args:
            times: Seconds from the first frame on.

        Raises:
            VideoReadError: If a time is before the first frame, or the frames have no times.
        """
        seconds = self._seconds()
        if early := [time for time in times if not time >= 0]:
            raise VideoReadError(self.path, f"no frame is shown at {early[0]:g} s: times count from the first frame")
        return [bisect_right(seconds, time) - 1 for time in times]

    def read(self, indices: Sequence[int] | Tensor, short_side: int | None = None) -> Tensor:
        """Decodes frames.

        Args:
            indices: Frames in presentation order, each in [0, len(self)); any order, repetition allowed.
            short_side: Pixels of the shorter side after resizing (aspect kept, in the same pass as the color
                conversion); None keeps the size.

        Returns:
            uint8 (T, 3, H, W), RGB, upright, in the order of `indices`; in memory as FFmpeg has them, which may be with
            the colors of a pixel side by side.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        slots = self._slots(indices)
        clip: Pixels | None = None
        for index, frame in _together(self._checked_frames(slots)):
            picture = self.scaler.whole(frame, short_side)
            if clip is None:
                clip = _laid_out_like(picture, (len(indices),), picture.shape[1:])
            elif clip[0].shape != picture.shape:
                raise VideoReadError(self.path, f"the pictures change their size at frame {index}")
            clip[slots[index]] = picture
        if clip is None:
            raise ValueError("no frames were asked for")
        return torch.from_numpy(clip)

    def read_crops(self, indices: Sequence[int] | Tensor, short_side: int, cut: CropChooser) -> Tensor:
        """Decodes frames and converts only parts of them, each resized once.

        Args:
            indices: Frames in presentation order; any order, repetition allowed.
            short_side: Pixels of the shorter side that the boxes refer to.
            cut: Chooses C boxes; called once, with height and width of the resized picture.

        Returns:
            uint8 (C, T, 3, S, S), RGB, upright; in memory as FFmpeg has them.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        slots = self._slots(indices)
        size: tuple[int, int] | None = None
        clips: Pixels | None = None
        for index, frame in _together(self._checked_frames(slots)):
            if size is None:
                size = self.scaler.size(frame, short_side)
                squares = cut(*size)
            elif size != self.scaler.size(frame, short_side):
                raise VideoReadError(self.path, f"the pictures change their size at frame {index}")
            for place, box in enumerate(squares.boxes):
                pixels = self.scaler.part(frame, short_side, box, squares.side)
                if clips is None:
                    clips = _laid_out_like(pixels, (len(squares.boxes), len(indices)), pixels.shape[1:])
                clips[place, slots[index]] = pixels
        if clips is None:
            raise ValueError("no frames were asked for")
        frames = torch.from_numpy(clips)
        # mirrored at once: torch does so with vector instructions, in either layout of pictures
        return frames.flatten(0, 1).flip(-1).unflatten(0, frames.shape[:2]) if squares.flip else frames

    def frames_in_order(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decodes all frames one after the other, each with the second that it is shown at.

        Raises:
            VideoReadError: If one can't be decoded.
        """
        seconds = self._seconds()
        for index, frame in self._checked_frames({index: [index] for index in range(len(self))}):
            yield seconds[index], frame

    def _slots(self, indices: Sequence[int] | Tensor) -> dict[int, list[int]]:
        """Where each wanted frame goes."""
        slots: dict[int, list[int]] = {}
        for slot, index in enumerate(int(index) for index in indices):
            if not 0 <= index < len(self):
                raise VideoReadError(
                    self.path, f"frame {index} does not exist: the video has {len(self)} frames (0 to {len(self) - 1})"
                )
            slots.setdefault(index, []).append(slot)
        return slots

    def _checked_frames(self, slots: dict[int, list[int]]) -> Iterator[tuple[int, av.VideoFrame]]:
        missing = set(slots)
        for index, frame in self._frames(sorted(slots)):
            if frame.is_corrupt:
                raise VideoReadError(self.path, f"frame {index} of {len(self)} is damaged")
            missing.discard(index)
            yield index, frame
        if missing:
            raise VideoReadError(self.path, f"frame {min(missing)} of {len(self)} could not be decoded")


def _together(frames: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Holds small frames back until there are some: converted one after the other they take half the time.

    Decoding leaves nothing of the conversion in the processor's caches.
    """
    held: list[tuple[int, av.VideoFrame]] = []
    pixels = 0
    for entry in frames:
        held.append(entry)
        pixels += entry[1].width * entry[1].height
        if pixels >= _HELD_PIXELS:
            yield from held
            held, pixels = [], 0
    yield from held


def _laid_out_like(picture: Pixels, lead: tuple[int, ...], size: tuple[int, ...]) -> Pixels:
    """Room for pictures, (*lead, 3, H, W), with the colors of a pixel side by side in memory if the picture's are."""
    if picture.strides[0] == 1:
        return np.moveaxis(np.empty((*lead, *size, 3), np.uint8), -1, -3)
    return np.empty((*lead, 3, *size), np.uint8)


def cause(error: Exception) -> str:
    """The library's words without the path, which the caller names."""
    return str(getattr(error, "strerror", None) or error)
