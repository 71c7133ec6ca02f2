"""Small pictures of frames, for pages."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Final

from PIL import Image

from ost_lightning.video.decoding import FrameSource, VideoReadError, open_video

FramePictures = Callable[[str, Sequence[float]], Sequence[bytes | None]]
"""Reader of frames: path or URL of a video, ascending times in seconds -> one JPEG each, None where there is none."""

SHORT_SIDE: Final = 120
"""Short side of a small picture, in pixels."""
_QUALITY: Final = 80
_AT_ONCE: Final = 32
"""Frames that are held in memory together."""


def read_pictures(video: str, seconds: Sequence[float]) -> list[bytes | None]:
    """Returns a small JPEG of the frame that is on screen at each time.

    Args:
        video: Path of a file, or URL.
        seconds: Ascending times from the first frame.

    Returns:
        One JPEG per time; None for frames that can't be decoded, and for all frames of a video that can't be opened.
    """
    pictures: list[bytes | None] = []
    try:
        with open_video(video) as opened:
            indices = opened.indices_at(seconds)
            for first in range(0, len(indices), _AT_ONCE):
                pictures += _pictures(opened, indices[first : first + _AT_ONCE])
    except VideoReadError:
        return [None] * len(seconds)
    return pictures


def middle_picture(video: str, start: float | None = None, end: float | None = None) -> bytes | None:
    """Returns a small JPEG of the frame in the middle of a video, or of a part of it.

    Args:
        video: Path of a file or of a folder of frames, or URL.
        start: Start of the part in seconds; None for the beginning.
        end: End of the part in seconds; None for the end.

    Returns:
        A JPEG; None if the frame can't be decoded.
    """
    try:
        with open_video(video) as opened:
            frames = opened.span(start, end)
            return _pictures(opened, [frames[len(frames) // 2]])[0]
    except VideoReadError:
        return None


def _pictures(video: FrameSource, indices: Sequence[int]) -> list[bytes | None]:
    try:
        frames = video.read(indices, min(SHORT_SIDE, video.width, video.height))
    except VideoReadError:
        # one by one, around the damage
        return [None] if len(indices) == 1 else [picture for index in indices for picture in _pictures(video, [index])]
    return [jpeg(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in frames]


def jpeg(picture: Image.Image) -> bytes:
    """Returns a picture as JPEG."""
    written = BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return written.getvalue()
