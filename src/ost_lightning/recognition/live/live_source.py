"""Addresses of streams and cameras, and how FFmpeg opens them."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords

_SCHEMES: Final = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})
"""Schemes of URLs that are always streams."""
_CAMERA: Final = re.compile(r"\d{1,3}|/dev/video\d+")
_CAMERA_FORMATS: Final = {"linux": "v4l2", "darwin": "avfoundation"}
"""FFmpeg's input devices for cameras, by platform."""
_PROBED: Final = {"analyzeduration": "2000000"}
"""Microseconds of a stream that are examined before its first frame; five seconds by default."""
_OPTIONS: Final = {
    "rtsp": {"rtsp_transport": "tcp"},  # UDP loses packets, and many cameras are behind a firewall
    "rtsps": {"rtsp_transport": "tcp"},
    "udp": {"overrun_nonfatal": "1"},  # a full buffer loses packets instead of ending the stream
}


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A stream, a camera, or a file that is played like one.

    Attributes:
        name: Address without passwords, for people.
        address: Address as FFmpeg opens it.
        format: FFmpeg's input format; None if the address decides.
        is_file: Whether it is a file, which is played at its own speed and ends.
        options: FFmpeg's options.
    """

    name: str
    address: str = field(repr=False)
    format: str | None = None
    is_file: bool = False
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str | Path | int) -> Self:
        """Returns the source of an address.

        Args:
            source: Number or device of a camera (`0`, `/dev/video0`), URL of a stream, or file.

        Raises:
            UserError: If there is no such camera or file.
        """
        text = str(source)
        if _is_camera(text):
            return cls(*_camera(text), options={})
        scheme = _scheme(text)
        if scheme:
            return cls(without_passwords(text), text, options=_PROBED | _OPTIONS.get(scheme, {}))
        if not Path(text).is_file():
            raise UserError(
                f"{text}: there is no such file. Expected a file, the number of a camera such as 0, or the URL of a "
                "stream such as rtsp://host/path."
            )
        return cls(text, f"file:{text}", is_file=True)


def is_live(source: str) -> bool:
    """Returns whether an address can only be a camera or a stream.

    Other URLs of the web may be either files or streams; only a playlist (`.m3u8`) is certain.

    Args:
        source: Path, number or device of a camera, or URL.
    """
    scheme = _scheme(source)
    return _is_camera(source) or scheme in _SCHEMES or (bool(scheme) and urlsplit(source).path.endswith(".m3u8"))


def _scheme(text: str) -> str:
    """Scheme of a URL in lower case; empty for a path."""
    scheme, mark, _ = text.partition("://")
    return scheme.lower() if mark else ""


def _is_camera(text: str) -> bool:
    return _CAMERA.fullmatch(text) is not None and not Path(text).is_file() and not Path(text).is_dir()


def _camera(text: str) -> tuple[str, str, str]:
    """Name, address and format of a camera."""
    device = next((name for name in _CAMERA_FORMATS if sys.platform.startswith(name)), None)
    if device is None:
        raise UserError(f"Camera {text} can't be opened on {sys.platform}: give the URL of a stream.")
    if device != "linux":
        return f"camera {text}", text, _CAMERA_FORMATS[device]
    path = f"/dev/video{text}" if text.isdecimal() else text
    if not Path(path).exists():
        cameras = sorted(str(found) for found in Path("/dev").glob("video[0-9]*"))
        found = f"found {', '.join(cameras)}" if cameras else "found none at all"
        raise UserError(
            f"There is no camera {path}: {found}. Connect one, pass it into the container (docker run --device), or "
            "give a file or the URL of a stream."
        )
    return path, path, _CAMERA_FORMATS[device]
