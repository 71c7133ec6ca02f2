"""Folders of extracted frames, read like videos."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import av
from av.video.codeccontext import VideoCodecContext

from ost_lightning.video.decoding.frame_source import FrameSource, VideoReadError, error_text
from ost_lightning.video.decoding.scaling import FrameScaler, ResizeFilter

CODECS: Final = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".webp": "webp", ".bmp": "bmp"}
PICTURE_SUFFIXES: Final = frozenset(CODECS)
"""Suffixes of the pictures that a folder of frames contains, in lower case."""
_NUMBER: Final = re.compile(r"(\d+)")


class FrameFolder(FrameSource):
    """Frames of one video as picture files, ordered by the numbers in their names; use it in a `with` statement.

    Args:
        path: Path of the folder.
        resize: Interpolation for resizing.

    Raises:
        VideoReadError: If the folder contains no pictures.
    """

    def __init__(self, path: Path | str, resize: ResizeFilter = "bicubic") -> None:
        super().__init__(path)
        files = [file for file in Path(path).iterdir() if file.suffix.lower() in CODECS and file.name[0] != "."]
        self._files = sorted(files, key=_natural)
        if not self._files:
            raise VideoReadError(path, f"the folder contains no frames ({', '.join(CODECS)})")
        self.scaler = FrameScaler(resize=resize)
        first = self._decode_file(self._files[0])
        self.width, self.height, self.codec, self.rate = first.width, first.height, CODECS[self._suffix(0)], 0.0

    def close(self) -> None:
        """Does nothing: no file stays open."""

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._files)

    def _suffix(self, index: int) -> str:
        return self._files[index].suffix.lower()

    def _seconds(self) -> Sequence[float]:
        raise VideoReadError(self.path, "a folder of frames has no times: list it without start and end")

    def _frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index in wanted:
            yield index, self._decode_file(self._files[index])

    def _decode_file(self, file: Path) -> av.VideoFrame:
        decoder = cast("VideoCodecContext", av.CodecContext.create(CODECS[file.suffix.lower()], "r"))
        decoder.options = {"err_detect": "explode"}
        try:
            data = file.read_bytes()
            frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)] if data else []
        except (av.error.FFmpegError, OSError) as error:
            raise VideoReadError(self.path, f"the frame {file.name} can't be read ({error_text(error)})") from error
        if len(frames) != 1:
            raise VideoReadError(self.path, f"the frame {file.name} is not a picture")
        return frames[0]


def _natural(file: Path) -> tuple[str | int, ...]:
    """Returns a sort key that puts `2.jpg` before `10.jpg`."""
    return tuple(int(part) if part.isdecimal() else part for part in _NUMBER.split(file.name))
