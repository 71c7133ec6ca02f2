"""Small pictures of frames, for pages."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Final

from PIL import Image

from ost_lightning.video.decoding import VideoReadError, open_video

FramePictures = Callable[[str, Sequence[float]], Sequence[bytes]]
"""Reader of frames: path or URL of a video and ascending times in seconds -> one JPEG each, or none at all."""

_SHORT_SIDE: Final = 120
_QUALITY: Final = 80
_AT_ONCE: Final = 32
"""Frames that are held in memory together."""


def read_pictures(video: str, seconds: Sequence[float]) -> list[bytes]:
    """Returns a small JPEG of the frame that is on screen at each time.

    Args:
        video: Path of a file, or URL.
        seconds: Ascending times from the first frame.

    Returns:
        One JPEG per time; none at all if the video can't be read.
    """
    pictures = []
    try:
        with open_video(video) as opened:
            indices = opened.indices_at(seconds)
            for first in range(0, len(indices), _AT_ONCE):
                frames = opened.read(indices[first : first + _AT_ONCE], min(_SHORT_SIDE, opened.width, opened.height))
                pictures += [_jpeg(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in frames]
    except VideoReadError:
        return []
    return pictures


def _jpeg(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return written.getvalue()
