"""Choice of the video track: the one that players show, wherever it stands in the file."""

from typing import Final

import av
from av.container import InputContainer
from av.stream import Disposition

_NEVER: Final = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_SECONDARY: Final = Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.dependent
_STILL_CODECS: Final = frozenset({"bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"})
_ENOUGH: Final = 5
"""Number of frames from which on a track is as good as any other; the same as in FFmpeg's av_find_best_stream."""


def main_video_stream(container: InputContainer) -> av.VideoStream:
    """Returns the video track that players show; covers and thumbnails are not among them.

    Of several tracks it is one with more than a few frames, then the default one, then the one with the most pixels,
    then the one with the highest bit rate. The order of the tracks decides only between equal ones.

    Args:
        container: Open container.

    Raises:
        ValueError: If the container has no video.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _NEVER]
    if not streams:
        raise ValueError("the file has no video stream")
    decodable = [stream for stream in streams if stream.codec_context is not None] if len(streams) > 1 else []
    return max(decodable, key=_rank) if decodable else streams[0]


def _rank(stream: av.VideoStream) -> tuple[int, int, int, int]:
    purpose = bool(stream.disposition & Disposition.default) + (not stream.disposition & _SECONDARY)
    frames = min(_ENOUGH, _frame_count(stream))
    pixels = stream.codec_context.width * stream.codec_context.height
    return frames, purpose, pixels, stream.bit_rate or 0


def _frame_count(stream: av.VideoStream) -> int:
    """Number of frames, estimated from duration and rate if the header does not contain it.

    Pictures in front of or beside a recording are often not marked as such.
    """
    if stream.frames:
        return stream.frames
    seconds = _tagged_seconds(stream.metadata.get("DURATION", ""))
    if seconds is None and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    if not stream.average_rate:
        return 1  # FFmpeg saw no second frame
    if seconds is None:
        return 1 if stream.codec_context.name in _STILL_CODECS else _ENOUGH
    return max(1, round(seconds * stream.average_rate))


def _tagged_seconds(text: str) -> float | None:
    """Parses Matroska's tag for the duration of a track, `00:00:01.040000000`."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
