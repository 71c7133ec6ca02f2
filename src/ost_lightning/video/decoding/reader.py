"""Exact sparse reading of videos through PyAV.

A frame is addressed by its index in presentation order: index i is the i-th frame that a player shows, for every
codec and container.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard
from torch import Tensor

from ost_lightning.video.decoding.coded_stream import CodedStream
from ost_lightning.video.decoding.frame_folder import FrameFolder
from ost_lightning.video.decoding.frame_source import FrameSource, VideoReadError, error_text
from ost_lightning.video.decoding.scaling import FrameScaler, ResizeFilter
from ost_lightning.video.decoding.tracks import main_video_stream
from ost_lightning.video.decoding.truncation import (
    ends_with_index,
    ends_within_element,
    first_bytes,
    has_wrong_length,
    missing_bytes,
)
from ost_lightning.video.storage.addresses import (
    ShardMember,
    VideoAddress,
    is_remote,
    local_url,
    read_bytes,
    transfer_errors,
)

__all__ = ["VideoReadError", "VideoReader", "open_video", "read_frames"]


class _File:
    """Opens a file any number of times, and closes all of its containers.

    Separate from the reader to avoid a reference cycle: the memory of a clip is freed as soon as it has been read, not
    at the next garbage collection.
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
        path: Path, URL, or member of a tar shard.
        threads: Decoding threads; one is best in a worker process, since several workers decode in parallel.
        sample_aspect: Whether to resample non-square pixels to square ones, as a player does.
        resize: Interpolation for resizing.

    Raises:
        VideoReadError: If the file is missing, not a video, cut off, or has no frames.
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
        except transfer_errors() as error:
            raise VideoReadError(path, f"it can't be fetched ({error_text(error)})") from error
        self._file = _File(source, _probing(head))
        try:
            container = self._file.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(path, f"not a readable video file ({error_text(error)})") from error
        try:
            self._prepare(container, threads, in_memory=fetched is not None)
            if self._is_cut_off(head, size, fetched):
                raise VideoReadError(path, self._what_is_left(missing_bytes(head, size)))
            if not len(self):
                raise VideoReadError(path, "no frame can be decoded")
            ratio = float(main_video_stream(container).sample_aspect_ratio or 1)
            self.scaler = FrameScaler(ratio if sample_aspect else 1.0, resize)
            if self._stream.declares_orientation:  # for the frames after the one that says it, too
                for _, frame in self._checked_frames({0: [0]}):
                    self.scaler.default_orientation = self.scaler.orientation(frame)
        except BaseException:
            self.close()
            raise

    def _prepare(self, container: InputContainer, threads: int, *, in_memory: bool) -> None:
        try:
            video = main_video_stream(container)
        except ValueError as error:
            raise VideoReadError(self.path, str(error)) from error
        if video.codec_context is None:
            raise VideoReadError(self.path, "there is no decoder for the video's codec")
        try:
            self._stream = CodedStream(container, threads, None if in_memory else self._file.open)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(self.path, f"the file is cut off or damaged ({error_text(error)})") from error
        self.width, self.height = self._stream.codec.width, self._stream.codec.height
        self.codec, self.rate = self._stream.codec.name, self._stream.rate

    def _is_cut_off(self, head: bytes, size: int, fetched: BytesIO | None) -> bool:
        """Whether the end is missing; the lengths in the header are not decisive, since they may be wrong."""
        stream = self._stream
        if stream.is_truncated or stream.damage is not None or ends_within_element(self.path, fetched, head, size):
            return True
        if head[:4] != b"RIFF":
            return stream.lacks_frames or (has_wrong_length(head, size) and not stream.reaches_its_duration())
        if not has_wrong_length(head, size) or ends_with_index(self.path, fetched, size):
            return False
        return stream.lacks_frames if stream.listed_frames else bool(missing_bytes(head, size))

    def _what_is_left(self, missing: int) -> str:
        """Describes a file that is cut off or damaged.

        Args:
            missing: Number of missing bytes; 0 if unknown.
        """
        stream = self._stream
        left = _what_can_be_decoded(stream.decodable(), stream.listed_frames)
        if stream.damage is not None and not (stream.is_truncated or stream.lacks_frames or missing):
            return f"the file is cut off or damaged: {left} ({error_text(stream.damage)})"
        lost = f"{missing} bytes are missing; " if missing and not stream.lacks_frames else ""
        return f"the file is cut off: {lost}{left}"

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __len__(self) -> int:
        """Number of frames, in presentation order."""
        return len(self._stream.presentation_order)

    def starts(self) -> Sequence[int]:
        """Returns the indices of keyframes, ascending."""
        return self._stream.starts()

    def _seconds(self) -> Sequence[float]:
        return self._stream.seconds

    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            yield from self._stream.frames(wanted)
        except (av.error.FFmpegError, ValueError) as error:
            left = _what_can_be_decoded(self._stream.decodable(), len(self))
            raise VideoReadError(self.path, f"{left} ({error_text(error)})") from error


def open_video(
    path: VideoAddress, *, threads: int = 1, sample_aspect: bool = True, resize: ResizeFilter = "bicubic"
) -> FrameSource:
    """Opens a video, however it is stored.

    Args:
        path: File, folder of frames, URL, or member of a tar shard. The path of a missing file may also stand for
            a folder of frames of the same name, with or without the suffix.
        threads: Decoding threads.
        sample_aspect: Whether to resample non-square pixels to square ones.
        resize: Interpolation for resizing.

    Raises:
        VideoReadError: If the video can't be read.
    """
    if not isinstance(path, ShardMember) and not is_remote(path) and not Path(path).is_file():
        for folder in (Path(path), Path(path).with_suffix("")):
            if folder.is_dir():
                return FrameFolder(folder, resize)
    return VideoReader(path, threads=threads, sample_aspect=sample_aspect, resize=resize)


def read_frames(path: VideoAddress, indices: Sequence[int] | Tensor, short_side: int | None = 256) -> Tensor:
    """Reads frames of a video by index.

    Args:
        path: File, folder of frames, URL, or member of a tar shard.
        indices: Frames in presentation order; any order, repetition allowed.
        short_side: Length of the shorter side in pixels after resizing; None keeps the size.

    Returns:
        uint8 (T, 3, H, W), RGB, in the order of `indices`.

    Raises:
        VideoReadError: If the video can't be read, or has no such frame.

    Examples:
        >>> from pathlib import Path
        >>> from ost_lightning.toyworld.clips import render_clip, write_mp4
        >>> from ost_lightning.toyworld.grammar import draw_classes
        >>> write_mp4(Path("clip.mp4"), render_clip(draw_classes(0)["unseen"][0], seed="a"))
        >>> read_frames("clip.mp4", [0, 15, 31], short_side=None).shape
        torch.Size([3, 3, 72, 72])
    """
    with open_video(path) as video:
        return video.read(indices, short_side)


def _what_can_be_decoded(readable: int, total: int) -> str:
    """Describes a number of frames; the total is 0 if unknown."""
    if not readable:
        return "no frame can be decoded"
    frames = f"{readable} of {total} frames" if total else "frame" if readable == 1 else f"{readable} frames"
    return f"only the first {frames} can be decoded"


def _probing(head: bytes) -> dict[str, str]:
    """FFmpeg's options for probing a file that begins with these bytes.

    No picture is decoded. If header and index are complete (MP4), no more than one packet is read, and times and
    keyframes are taken from the index instead of from every packet.
    """
    options = {"skip_frame": "all"}
    if head[4:8] == b"ftyp":
        options |= {"analyzeduration": "1", "fflags": "+nofillin+noparse"}
    return options
