"""Inspection of one video file: whether it exists, whether it decodes, how long and large it is."""

from dataclasses import dataclass
from typing import Final, Literal, Self

from ost_lightning.escaping import without_passwords
from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.clips import FrameSampler, listed_frames
from ost_lightning.video.decoding import FrameSource, VideoReadError, open_video
from ost_lightning.video.storage import size_and_mtime

State = Literal["ok", "missing", "undecodable"]
ALL_FRAMES: Final = -1
"""Special number of frames to decode, which means all of them."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of inspecting one video, or part of one.

    Attributes:
        id: Id of the video's record.
        path: Path of the file.
        start: Start of the part in seconds, as text; empty for the beginning of the video.
        end: End of the part in seconds, as text; empty for the end of the video.
        state: Whether the video can be used.
        reason: Why it can't be used; empty if it can.
        size: Size of the file in bytes.
        modified: Modification time of the file, in nanoseconds since 1970.
        decoded: Number of frames that were decoded as a test; -1 for all.
        frames: Number of frames in the part.
        rate: Average number of frames per second; 0 if unknown.
        width: Width in pixels.
        height: Height in pixels.
        codec: FFmpeg's name of the codec.
    """

    id: str
    path: str
    start: str
    end: str
    state: State = "ok"
    reason: str = ""
    size: int = 0
    modified: int = 0
    decoded: int = 0
    frames: int = 0
    rate: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""

    @classmethod
    def key(cls, record: VideoRecord) -> tuple[str, str, str]:
        """Key of a part of a file: path, start, end."""
        start, end = ("" if time is None else f"{time:g}" for time in (record.start, record.end))
        return without_passwords(str(record.path)), start, end

    @property
    def seconds(self) -> float:
        """Duration of the part; 0 if the rate is unknown."""
        return self.frames / self.rate if self.rate else 0.0

    def still_holds(self, record: VideoRecord, decode: int) -> bool:
        """Whether the file is unchanged and at least this many of its frames were decoded."""
        enough = self.decoded == ALL_FRAMES or 0 <= decode <= self.decoded
        return enough and self.state != "missing" and (self.size, self.modified) == size_and_mtime(record.path)

    @classmethod
    def failure(cls, record: VideoRecord, reason: str, decode: int) -> Self:
        """Creates the result for a video that can't be used."""
        size, modified = size_and_mtime(record.path)
        state: State = "undecodable" if size or modified else "missing"
        return cls(record.id, *cls.key(record), state, reason, size, modified, decode)


def inspect_video(record: VideoRecord, decode: int = 8) -> Inspection:
    """Opens one video, counts its frames in the packets, and decodes some of them.

    Args:
        record: Video, or part of one.
        decode: Number of frames to decode, spread over the part as in a test and including the last one; 0 for none,
            -1 for all.
    """
    size, modified = size_and_mtime(record.path)
    if not (size or modified):
        return Inspection(record.id, *Inspection.key(record), "missing", "there is no such file")
    try:
        with open_video(record.path) as video:
            span = listed_frames(video, record)
            _decode_some(video, span, decode)
            rate, width, height, codec = round(video.rate, 3), video.width, video.height, video.codec
    except VideoReadError as error:
        return Inspection.failure(record, error.reason, decode)
    return Inspection(
        record.id,
        *Inspection.key(record),
        size=size,
        modified=modified,
        decoded=decode,
        frames=len(span),
        rate=rate,
        width=width,
        height=height,
        codec=codec,
    )


def _decode_some(video: FrameSource, span: range, decode: int) -> None:
    if decode == ALL_FRAMES:
        # in chunks, so that a long video does not have to fit into memory
        for start in range(0, len(span), 64):
            video.read(list(span[start : start + 64]), short_side=16)
    elif decode:
        indices = FrameSampler(decode).middle(len(span)).flatten().tolist()
        video.read([span[index] for index in {*indices, len(span) - 1}], short_side=16)
