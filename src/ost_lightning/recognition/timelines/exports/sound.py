"""The sound of a video, copied to another file beside new pictures."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
from av.container import InputContainer, OutputContainer

from ost_lightning.video.decoding import VideoReadError
from ost_lightning.video.decoding.tracks import main_video_stream
from ost_lightning.video.storage import is_remote
from ost_lightning.video.storage.addresses import local_url, read_bytes

_COPIED: Final = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""Codecs of sound that .mp4 files hold and players play; others are encoded anew as AAC."""
_RATE: Final = 48_000


class Sound:
    """The first sound track of a video, if it has any; use it in a `with` statement.

    Args:
        video: Path or URL of a readable video.
    """

    def __init__(self, video: str) -> None:
        self._video = video
        self._packets: Iterator[av.Packet[av.AudioStream]] = iter(())
        self._next: av.Packet[av.AudioStream] | None = None
        self._source: InputContainer | None = None
        if is_remote(video):
            self._source = av.open(read_bytes(video), "r", metadata_errors="ignore")
        elif Path(video).is_file():
            self._source = av.open(local_url(Path(video)), "r", metadata_errors="ignore")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._source is not None:
            self._source.close()

    def add_to(self, output: OutputContainer) -> None:
        """Adds the track to a file whose first packet has not been written yet."""
        self._output = output
        if self._source is None:
            return
        # without a decoder, nobody could hear it
        tracks = [track for track in self._source.streams.audio if track.codec_context is not None]
        if not tracks:
            return
        track = tracks[0]
        pictures = main_video_stream(self._source)
        start = (pictures.start_time or 0) * Fraction(pictures.time_base or 0)
        if track.codec_context.name in _COPIED:
            self._packets = _copied(self._source, track, output.add_stream_from_template(track), start)
        else:
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            target = output.add_stream("aac", rate=_RATE, layout=layout)
            self._packets = _encoded(self._source, track, target, start)
        self._advance()

    def copy_until(self, second: float | None) -> None:
        """Writes the packets up to a time of the pictures, or all that are left."""
        while self._next is not None and (second is None or _seconds(self._next) <= second):
            self._output.mux(self._next)
            self._advance()

    def _advance(self) -> None:
        try:
            self._next = next(self._packets, None)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(self._video, f"its sound can't be decoded ({error})") from error


def _copied(
    source: InputContainer, track: av.AudioStream, target: av.AudioStream, start: Fraction
) -> Iterator["av.Packet[av.AudioStream]"]:
    """Yields the packets of a track from the first picture on, whose time is `start`."""
    for packet in source.demux(track):
        if packet.pts is not None and packet.dts is not None and packet.time_base is not None:
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts >= 0 and packet.dts >= 0:
                packet.stream = target
                yield packet


def _encoded(
    source: InputContainer, track: av.AudioStream, target: av.AudioStream, start: Fraction
) -> Iterator["av.Packet[av.AudioStream]"]:
    """Yields a track as AAC, like `_copied`."""
    resampler = av.AudioResampler(format="fltp", layout=target.layout.name, rate=_RATE)
    shift = round(start * _RATE)
    for frame in source.decode(track):
        for part in resampler.resample(frame):
            if part.pts is not None and part.pts >= shift:
                part.pts -= shift
                yield from target.encode(part)
    yield from target.encode(None)


def _seconds(packet: "av.Packet[av.AudioStream]") -> float:
    return float((packet.pts or 0) * (packet.time_base or 0))
