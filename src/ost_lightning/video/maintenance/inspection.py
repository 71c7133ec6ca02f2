"""What a look into a video file tells: whether it is there, whether it decodes, how long and large it is."""

from dataclasses import dataclass
from typing import Final, Literal, Self

from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.clips.sampling import FrameSampler
from ost_lightning.video.decoding.frame_source import FrameSource
from ost_lightning.video.decoding.reader import VideoReadError, open_video
from ost_lightning.video.storage.addresses import stamp

State = Literal["ok", "missing", "undecodable"]
ALL_FRAMES: Final = -1


@dataclass(frozen=True, slots=True)
class Inspection:
    """One video, or part of one.

    Attributes:
        id: Of its record.
        path: The file.
        start: Seconds, as text; empty for all of it.
        end: Seconds, as text; empty for all of it.
        state: Whether it can be used.
        reason: Why not.
        size: Bytes of the file.
        modified: When it was written, nanoseconds since 1970.
        decoded: How many frames were decoded to see whether they can be; -1 is all.
        frames: Frames of the part.
        rate: Frames a second, on average; 0 if the file does not say.
        width: Pixels.
        height: Pixels.
        codec: FFmpeg's name of it.
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
        """What tells one part of one file from another: path, start, end."""
        start, end = ("" if time is None else f"{time:g}" for time in (record.start, record.end))
        return str(record.path), start, end

    @property
    def seconds(self) -> float:
        """Duration of the part, 0 if the rate is unknown."""
        return self.frames / self.rate if self.rate else 0.0

    def still_holds(self, record: VideoRecord, decode: int) -> bool:
        """Whether the file is as it was, and was decoded at least as far."""
        enough = self.decoded == ALL_FRAMES or 0 <= decode <= self.decoded
        return enough and self.state != "missing" and (self.size, self.modified) == stamp(record.path)

    @classmethod
    def failure(cls, record: VideoRecord, reason: str, decode: int) -> Self:
        """A video that is there but can't be used."""
        size, modified = stamp(record.path)
        state: State = "undecodable" if size or modified else "missing"
        return cls(record.id, *cls.key(record), state, reason, size, modified, decode)


def inspect_video(record: VideoRecord, decode: int = 8) -> Inspection:
    """Opens one video, counts its frames in the packets, and decodes some of them.

    Args:
        record: The video, or part of one.
        decode: How many frames, spread over the part as in a test, the last one among them; 0 for none, -1 for all.
    """
    size, modified = stamp(record.path)
    if not (size or modified):
        return Inspection(record.id, *Inspection.key(record), "missing", "there is no such file")
    try:
        with open_video(record.path) as video:
            span = video.span(record.start, record.end)
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
        # in pieces, so that a long video does not have to fit into memory
        for start in range(0, len(span), 64):
            video.read(list(span[start : start + 64]), short_side=16)
    elif decode:
        places = FrameSampler(decode).middle(len(span)).flatten().tolist()
        video.read([span[place] for place in {*places, len(span) - 1}], short_side=16)
