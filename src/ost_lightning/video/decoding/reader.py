"""Exact sparse reading of videos through PyAV.

A frame is addressed by its index in presentation order: index i is the i-th frame that a player shows, on every codec
and container.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard
from torch import Tensor

from ost_lightning.video.decoding.frame_folder import FrameFolder
from ost_lightning.video.decoding.frame_source import FrameSource, VideoReadError, cause
from ost_lightning.video.decoding.packets import CodedStream, shown_stream
from ost_lightning.video.decoding.scaling import FrameScaler, ResizeFilter
from ost_lightning.video.decoding.truncation import first_bytes, missing_bytes
from ost_lightning.video.storage.addresses import (
    TRANSFER_ERRORS,
    ShardMember,
    VideoAddress,
    is_remote,
    local_url,
    read_bytes,
)

__all__ = ["VideoReadError", "VideoReader", "open_video", "read_frames"]


class _File:
    """Opens a file, once or again, and closes all of it.

    Not part of the reader, so that nothing refers in a circle: what a clip took is free for the next one once it has
    been read, not when the garbage collector comes.
    """

    def __init__(self, source: str | BytesIO, options: dict[str, str]) -> None:
        self._source, self._options = source, options
        self._opened: list[InputContainer] = []

    def open(self) -> InputContainer:
        container = av.open(self._source, "r", metadata_errors="ignore", options=self._options)
        self._opened.append(container)
        for other in container.streams:
            if other.type != "video":
                other.discard = Discard.all
        return container

    def close(self) -> None:
        for container in self._opened:
            container.close()


class VideoReader(FrameSource):
    """An open video file; use it in a `with` statement.

    Args:
        path: The file: a path, a URL, or a member of a tar shard.
        threads: Decoding threads; one is best in a worker process, where clips are decoded side by side.
        sample_aspect: Whether pixels that are not square are made so, as a player does.
        resize: How pictures are resized.

    Raises:
        VideoReadError: If it is missing, not a video, cut off, or has no frames.
    """

    def __init__(
        self,
        path: VideoAddress,
        *,
        threads: int = 1,
        sample_aspect: bool = True,
        resize: ResizeFilter = "bicubic",
    ) -> None:
        super().__init__(path)
        try:
            fetched = read_bytes(path) if is_remote(path) else None
            source = fetched or local_url(path)
            head, size = first_bytes(path, fetched)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VideoReadError(path, "there is no such file") from error
        except TRANSFER_ERRORS as error:
            raise VideoReadError(path, f"it can't be fetched ({cause(error)})") from error
        self._file = _File(source, _probing(head))
        try:
            container = self._file.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(path, f"not a readable video file ({cause(error)})") from error
        try:
            self._prepare(container, threads, missing_bytes(head, size), in_memory=fetched is not None)
            ratio = float(shown_stream(container).sample_aspect_ratio or 1)
            self.scaler = FrameScaler(ratio if sample_aspect else 1.0, resize)
        except BaseException:
            self.close()
            raise

    def _prepare(self, container: InputContainer, threads: int, lacking: int, *, in_memory: bool) -> None:
        try:
            video = shown_stream(container)
        except ValueError as error:
            raise VideoReadError(self.path, str(error)) from error
        if video.codec_context is None:
            raise VideoReadError(self.path, "there is no decoder for the video's codec")
        try:
            self._stream = CodedStream(container, threads, None if in_memory else self._file.open)
        except (av.error.FFmpegError, ValueError) as error:
            what = f"cut off: {lacking} bytes are missing" if lacking else f"cut off or damaged ({cause(error)})"
            raise VideoReadError(self.path, f"the file is {what}") from error
        frames = len(self._stream.order)
        if lacking or self._stream.lacking:
            what = f"{lacking} bytes" if lacking else f"{self._stream.lacking} frames"
            raise VideoReadError(self.path, f"the file is cut off: {what} are missing after its first {frames} frames")
        if not frames:
            raise VideoReadError(self.path, "no frame can be decoded")
        self.width, self.height = self._stream.codec.width, self._stream.codec.height
        self.codec, self.rate = self._stream.codec.name, float(video.average_rate or 0)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __len__(self) -> int:
        """Number of frames, in presentation order."""
        return len(self._stream.order)

    def _seconds(self) -> Sequence[float]:
        return self._stream.seconds

    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        index_of = {self._stream.order[index]: index for index in wanted}
        try:
            for place, frame in self._stream.frames(index_of):
                yield index_of[place], frame
        except (av.error.FFmpegError, ValueError) as error:
            readable = self._stream.decodable()
            reason = f"only the first {readable} of {len(self)} frames can be decoded ({cause(error)})"
            raise VideoReadError(self.path, reason) from error


def open_video(
    path: VideoAddress, *, threads: int = 1, sample_aspect: bool = True, resize: ResizeFilter = "bicubic"
) -> FrameSource:
    """Opens a video, whatever it is kept in.

    Args:
        path: A file, a folder of frames (or the file's path without or with its suffix, where such a folder stands in
            its place), a URL, or a member of a tar shard.
        threads: Decoding threads.
        sample_aspect: Whether pixels that are not square are made so.
        resize: How pictures are resized.

    Raises:
        VideoReadError: If it can't be read.
    """
    if not isinstance(path, ShardMember) and not is_remote(path):
        for folder in (Path(path), Path(path).with_suffix("")):
            if folder.is_dir():
                return FrameFolder(folder, resize)
    return VideoReader(path, threads=threads, sample_aspect=sample_aspect, resize=resize)


def read_frames(path: VideoAddress, indices: Sequence[int] | Tensor, short_side: int | None = 256) -> Tensor:
    """Reads frames of a video by index.

    Args:
        path: A file, a folder of frames, a URL, or a member of a tar shard.
        indices: Frames in presentation order; any order, repetition allowed.
        short_side: Pixels of the shorter side after resizing; None keeps the size.

    Returns:
        uint8 (T, 3, H, W), RGB, in the order of `indices`.

    Raises:
        VideoReadError: If the video can't be read, or has no such frame.
    """
    with open_video(path) as video:
        return video.read(indices, short_side)


def _probing(head: bytes) -> dict[str, str]:
    """How FFmpeg looks at a file with these first bytes before a picture is asked for.

    It decodes none. Where header and index tell everything (MP4) it reads no more than one packet for that, and takes
    times and keyframes from the index, without looking for them in every packet.
    """
    options = {"skip_frame": "all"}
    if head[4:8] == b"ftyp":
        options |= {"analyzeduration": "1", "fflags": "+nofillin+noparse"}
    return options
