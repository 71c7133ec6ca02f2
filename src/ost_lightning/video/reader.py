"""Exact sparse reading of a video file through PyAV.

A frame is addressed by its index in presentation order: index i is the i-th frame that a player shows, on every codec
and container. The file is demultiplexed once, its packets are kept, and only the runs between a keyframe and the last
wanted frame after it are decoded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.video.sources import TRANSFER_ERRORS, VideoAddress, is_remote, local_url, read_bytes

if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]  # PyAV's classes take no parameters at run time

UNTIMED_CONTAINERS: Final = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
"""Formats without presentation times (FFmpeg fills in decoding order): frames are counted as they are decoded."""


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


class VideoReader:
    """An open video file; use it in a `with` statement.

    Args:
        path: The file: a path, a URL, or a member of a tar shard.
        threads: Decoding threads; one is best in a worker process, where clips are decoded side by side.

    Raises:
        VideoReadError: If it is missing, not a video, or has no frames.
    """

    def __init__(self, path: VideoAddress, *, threads: int = 1) -> None:
        self.path = path
        try:
            source = read_bytes(path) if is_remote(path) else local_url(path)
        except FileNotFoundError as error:
            raise VideoReadError(path, "there is no such file") from error
        except TRANSFER_ERRORS as error:
            raise VideoReadError(path, f"it can't be fetched ({error})") from error
        try:
            self._container = av.open(source, "r", metadata_errors="ignore")
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(path, f"not a readable video file ({_cause(error)})") from error
        try:
            self._prepare(threads)
        except BaseException:
            self._container.close()
            raise

    def _prepare(self, threads: int) -> None:
        if not self._container.streams.video:
            raise VideoReadError(self.path, "the file has no video stream")
        self._stream = self._container.streams.video[0]
        self._codec = self._stream.codec_context
        self._codec.thread_type = "SLICE"
        self._codec.thread_count = threads
        self._scaler = VideoReformatter()
        self._packets = self._demultiplex()
        times = [packet.pts for packet in self._packets]
        timed = None not in times and len(set(times)) == len(times)
        self._timed = timed and not UNTIMED_CONTAINERS.intersection(self._container.format.name.split(","))
        self._times = self._shown_times()
        if not self._times:
            raise VideoReadError(self.path, "no frame can be decoded")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._container.close()

    def __len__(self) -> int:
        """Number of frames, in presentation order."""
        return len(self._times)

    @property
    def rate(self) -> float:
        """Frames a second on average; 0 if the file does not say."""
        return float(self._stream.average_rate or 0)

    @property
    def width(self) -> int:
        """Pixels as stored, before any rotation."""
        return int(self._codec.width)

    @property
    def height(self) -> int:
        """Pixels as stored, before any rotation."""
        return int(self._codec.height)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return self._codec.name

    def span(self, start: float | None = None, end: float | None = None) -> range:
        """The frames shown in part of the video.

        Args:
            start: Seconds from the first frame; None is the beginning.
            end: Seconds; None is the end.

        Raises:
            VideoReadError: If no frame lies in between.
        """
        unit = float(self._stream.time_base or 0) if self._timed else 1 / float(self._stream.average_rate or 25)
        seconds = [(time - self._times[0]) * unit for time in self._times]
        first = 0 if start is None else bisect_left(seconds, start)
        last = len(seconds) if end is None else bisect_left(seconds, end)
        if first >= last:
            until = "the end" if end is None else f"{end:g} s"
            raise VideoReadError(
                self.path, f"no frame between {start or 0:g} s and {until}: the last one is at {seconds[-1]:.2f} s"
            )
        return range(first, last)

    def read(self, indices: Sequence[int] | Tensor, short_side: int | None = None) -> Tensor:
        """Decodes frames.

        Args:
            indices: Frames in presentation order, each in [0, len(self)); any order, repetition allowed.
            short_side: Pixels of the shorter side after resizing (bicubic, aspect kept, in the same pass as the colour
                conversion); None keeps the size.

        Returns:
            uint8 (T, 3, H, W), RGB, upright, in the order of `indices`.

        Raises:
            VideoReadError: If a frame does not exist or can't be decoded.
        """
        wanted = [int(index) for index in indices]
        for index in wanted:
            if not 0 <= index < len(self):
                raise VideoReadError(
                    self.path, f"frame {index} does not exist: the video has {len(self)} frames (0 to {len(self) - 1})"
                )
        pictures: dict[int, Tensor] = {}
        try:
            for index, frame in self._decode(sorted(set(wanted))):
                if frame.is_corrupt:
                    raise VideoReadError(self.path, f"frame {index} of {len(self)} is damaged")
                pictures[index] = self._convert(frame, short_side)
        except av.error.FFmpegError as error:
            reason = f"only the first {self._decodable()} of {len(self)} frames can be decoded ({_cause(error)})"
            raise VideoReadError(self.path, reason) from error
        missing = sorted(set(wanted) - set(pictures))
        if missing:
            raise VideoReadError(self.path, f"frame {missing[0]} of {len(self)} could not be decoded")
        return torch.stack([pictures[index] for index in wanted])

    def _demultiplex(self) -> list["VideoPacket"]:
        """All packets of the video stream, in decoding order."""
        packets = []
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    packets.append(packet)
        except av.error.FFmpegError as error:
            raise VideoReadError(
                self.path, f"the file is cut off or damaged after {len(packets)} packets ({_cause(error)})"
            ) from error
        return packets

    def _shown_times(self) -> list[int]:
        """Presentation time of every shown frame, ascending; the frame's number where the file has no times."""
        if self._timed:
            return sorted(packet.pts for packet in self._packets if packet.pts is not None and not packet.is_discard)
        try:
            return list(range(sum(1 for _ in self._feed(self._packets))))
        except av.error.FFmpegError as error:
            raise VideoReadError(self.path, f"decoding stopped ({_cause(error)})") from error

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yields the wanted frames (ascending, distinct) with their indices."""
        if not self._timed:
            chosen = set(wanted)
            yield from ((index, frame) for index, frame in enumerate(self._feed(self._packets)) if index in chosen)
            return
        index_at = {self._times[index]: index for index in wanted}
        for start, stop in self._runs(set(index_at)):
            for frame in self._feed(self._packets[start:stop]):
                index = index_at.pop(frame.pts, None) if frame.pts is not None else None
                if index is not None:
                    yield index, frame

    def _feed(self, packets: Sequence["VideoPacket"]) -> Iterator[av.VideoFrame]:
        """Decodes a run of packets that starts at a keyframe, to its last frame."""
        for packet in packets:
            yield from self._codec.decode(packet)
        yield from self._codec.decode(None)
        self._codec.flush_buffers()

    def _decodable(self) -> int:
        """How many frames come out before decoding fails; for a report only."""
        count = 0
        self._codec.flush_buffers()
        try:
            for _ in self._feed(self._packets):
                count += 1
        except av.error.FFmpegError:
            return count
        return count

    def _runs(self, wanted: set[int]) -> list[tuple[int, int]]:
        """Slices of the packets that have to be decoded to show frames at the wanted times."""
        keys = [place for place, packet in enumerate(self._packets) if packet.is_keyframe]
        if not keys or keys[0] != 0:
            keys.insert(0, 0)
        last_needed: dict[int, int] = {}
        for place, packet in enumerate(self._packets):
            if packet.pts not in wanted:
                continue
            k = bisect_right(keys, place) - 1
            key_time = self._packets[keys[k]].pts
            if k > 0 and packet.pts is not None and key_time is not None and packet.pts < key_time:
                k -= 1  # a leading picture of an open group: it refers to frames before its keyframe
            last_needed[keys[k]] = max(place, last_needed.get(keys[k], 0))
        runs: list[tuple[int, int]] = []
        for start, last in sorted(last_needed.items()):
            if runs and start < runs[-1][1]:
                runs[-1] = (runs[-1][0], max(runs[-1][1], last + 1))
            else:
                runs.append((start, last + 1))
        return runs

    def _convert(self, frame: av.VideoFrame, short_side: int | None) -> Tensor:
        """One decoded frame as RGB, resized, upright: uint8 (3, H, W)."""
        width, height = frame.width, frame.height
        if short_side is not None:
            scale = short_side / min(width, height)
            width, height = (
                short_side if side == min(width, height) else int(side * scale) for side in (width, height)
            )
        picture = self._scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1
        )
        pixels = picture.to_ndarray()
        if frame.rotation % 90 == 0 and frame.rotation % 360:
            pixels = np.rot90(pixels, frame.rotation // 90)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def read_frames(path: VideoAddress, indices: Sequence[int] | Tensor, short_side: int | None = 256) -> Tensor:
    """Reads frames of a video file by index.

    Args:
        path: The file: a path, a URL, or a member of a tar shard.
        indices: Frames in presentation order; any order, repetition allowed.
        short_side: Pixels of the shorter side after resizing; None keeps the size.

    Returns:
        uint8 (T, 3, H, W), RGB, in the order of `indices`.

    Raises:
        VideoReadError: If the file can't be read, or has no such frame.
    """
    with VideoReader(path) as video:
        return video.read(indices, short_side)


def _cause(error: Exception) -> str:
    """FFmpeg's words without the path, which the caller names."""
    return str(getattr(error, "strerror", None) or error)
