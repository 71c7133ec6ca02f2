"""One connection to a stream or camera: decoded frames with their times, as they arrive."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Final, Literal

import av
import torch
from av.container import InputContainer
from torch import Tensor

from ost_lightning.evaluation import ClipSettings, evaluation_clips
from ost_lightning.recognition.live.live_source import LiveSource
from ost_lightning.video.decoding.scaling import FrameScaler
from ost_lightning.video.decoding.tracks import main_video_stream

CONNECTION_ERRORS: Final = (av.error.FFmpegError, OSError, ValueError)
"""Exceptions that end a connection."""
_LONGEST_JUMP: Final = 10.0
"""Seconds between two frames from which on a stream's clock was set anew (FFmpeg's dts_delta_threshold)."""
_JITTER: Final = 1.0
"""Seconds by which a frame may come before its predecessor without a clock that was set anew."""
_IDLE: Final = 0.05
"""Share of a period spent waiting for packets below which the decoder doesn't keep up."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A decoded frame of a stream.

    Attributes:
        crops: Function that converts the frame, uint8 (C, 3, S, S).
        second: Time of the frame in seconds since the stream's beginning.
        arrival: Time of its arrival, by `time.monotonic`.
        jumped: Whether the stream's clock was set anew before this frame.
    """

    crops: Callable[[], Tensor]
    second: float
    arrival: float
    jumped: bool


class StreamClock:
    """Times of a stream's frames in seconds since its beginning, never descending.

    Within a connection they follow the stream's own clock, whatever the network does. Its first frame, frames without
    a time, and those after a jump of the clock are dated by their arrival.

    Args:
        longest_jump: Seconds between two frames from which on the stream's clock was set anew.
    """

    def __init__(self, longest_jump: float) -> None:
        self._longest_jump = longest_jump
        self._offset: float | None = None
        self._last = 0.0

    def second(self, own: float | None, elapsed: float) -> tuple[float, bool]:
        """Returns the time of the next frame, and whether the stream's clock jumped before it.

        Args:
            own: Time by the stream's own clock, in seconds; None if the frame has none.
            elapsed: Seconds since the stream's beginning, at the frame's arrival.
        """
        jumped = False
        if own is None:
            found = elapsed
        elif self._offset is None:
            found, self._offset = elapsed, elapsed - own
        else:
            found = self._offset + own
            if not -_JITTER <= found - self._last <= self._longest_jump:
                jumped = True
                found = max(elapsed, self._last)
                self._offset = found - own
        self._last = max(found, self._last)
        return self._last, jumped


class Connection:
    """A connection; `frames` may be called once.

    Args:
        source: Stream, camera or file.
        clips: Settings for resizing and cropping.
        timeout: Seconds after which a silent stream counts as lost.
        period: Seconds over which it is measured whether decoding keeps up.
        stopped: Event that ends the waiting for frames of a file.

    Attributes:
        is_behind: Whether decoding doesn't keep up, so that only keyframes are decoded for now.
        frame_seconds: Duration of a frame in seconds, by the average rate.

    Raises:
        FFmpegError: If the source can't be opened.
        ValueError: If it has no video.
    """

    def __init__(self, source: LiveSource, clips: ClipSettings, timeout: float, period: float, stopped: Event) -> None:
        self._source, self._period, self._stopped, self._timeout = source, period, stopped, timeout
        self._container: InputContainer = av.open(
            source.address,
            "r",
            format=source.format,
            options=source.options,
            timeout=(timeout, timeout),
            metadata_errors="ignore",
        )
        try:
            self._stream = main_video_stream(self._container)
            if self._stream.codec_context is None:
                raise ValueError("there is no decoder for the video's codec")
        except BaseException:
            self._container.close()
            raise
        self._stream.codec_context.thread_type = "SLICE"  # frame threads delay each frame by the number of threads
        self._reading = evaluation_clips([], clips)
        aspect = float(self._stream.sample_aspect_ratio or 1) if self._reading.reading.sample_aspect else 1.0
        self._scaler = FrameScaler(aspect, self._reading.reading.resize)
        self.frame_seconds = float(1 / self._stream.average_rate) if self._stream.average_rate else 0.04
        self.is_behind = False
        self._skipped: Literal["NONKEY", "DEFAULT"] = "DEFAULT"

    def frames(self, elapsed: Callable[[], float]) -> Iterator[LiveFrame]:
        """Yields frames as they arrive, until the connection ends.

        Damaged frames, such as those before the first keyframe, are left out.

        Args:
            elapsed: Function that returns the seconds since the stream's beginning.

        Raises:
            FFmpegError: If the connection is lost.
        """
        with closing(self._container):
            clock = StreamClock(float("inf") if self._source.is_file else max(_LONGEST_JUMP, self._timeout))
            began: float | None = None
            for frame in self._decoded():
                own = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None
                second, jumped = clock.second(own, elapsed())
                if self._source.is_file:
                    began = time.monotonic() - second if began is None else began
                    self._stopped.wait(max(0.0, began + second - time.monotonic()))
                if self._stopped.is_set():
                    return
                yield LiveFrame(partial(self._crops, frame), second, time.monotonic(), jumped)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        waited, since = 0.0, time.monotonic()
        while True:
            before = time.monotonic()
            packet = next(packets, None)
            now = time.monotonic()
            waited += now - before
            if packet is None:
                return
            if not self._source.is_file and now - since >= self._period:
                self.is_behind = waited < _IDLE * (now - since)
                waited, since = 0.0, now
            self._skip(at_keyframe=packet.is_keyframe)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue  # lost packets; decoding goes on with the next one
            for frame in frames:
                if isinstance(frame, av.VideoFrame) and not frame.is_corrupt:
                    yield frame

    def _skip(self, *, at_keyframe: bool) -> None:
        """Skips all but keyframes while decoding is behind, and goes on with all frames at a keyframe."""
        wanted: Literal["NONKEY", "DEFAULT"] = "NONKEY" if self.is_behind else "DEFAULT"
        if wanted != self._skipped and (self.is_behind or at_keyframe):
            self._stream.codec_context.skip_frame = self._skipped = wanted

    def _crops(self, frame: av.VideoFrame) -> Tensor:
        """Crops of a frame, uint8 (C, 3, S, S)."""
        short_side = self._reading.short_side
        spec = self._reading.transform.crop_spec(*self._scaler.size(frame, short_side))
        parts = [self._scaler.part(frame, short_side, box, spec.side) for box in spec.boxes]
        return torch.stack([torch.from_numpy(part.copy()) for part in parts])
