"""What happens when in a long video: segments with the evidence that decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True)
class Evidence:
    """The frame of a segment that shows one sentence of its class best.

    Attributes:
        sentence: Sentence as it was encoded.
        kind: Kind of the sentence.
        second: Time of the frame, in seconds from the start of the video.
        cosine: Cosine of the frame and the sentence, -1 to 1.
    """

    sentence: str
    kind: SentenceKind
    second: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video that shows one action.

    Attributes:
        start: Beginning, in seconds from the start of the video.
        end: End, in seconds; greater than `start`.
        label: Name of the class.
        score: Confidence, on the scale of the decoder that found the segment; higher is more certain.
        evidence: Sentences of the class with the frames that show them, most convincing first.

    Raises:
        ValueError: If times are not finite, not positive, or not ascending, or if the score is not finite.

    Examples:
        >>> print(Segment(61.5, 64.0, "archery", 0.31))
        1:01.5 to 1:04.0  archery (0.310)
    """

    start: float
    end: float
    label: str
    score: float
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        if not (isfinite(self.start) and isfinite(self.end) and 0 <= self.start < self.end):
            raise ValueError(f"A segment from {self.start} to {self.end} s: expected 0 <= start < end.")
        if not isfinite(self.score):
            raise ValueError(f"The score of segment {self.label!r} at {self.start} s is {self.score}.")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{clock(self.start)} to {clock(self.end)}  {self.label} ({self.score:.3f})"


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a video or stream about which nothing is known.

    Attributes:
        start: Beginning, in seconds from the start of the video.
        end: End, in seconds.
        reason: Reason, such as a lost connection or frames that can't be decoded.
    """

    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Segments of one video. Between them it shows none of the classes.

    Attributes:
        video: Path or URL of the video, without passwords.
        duration: Length of the video in seconds.
        classes: Names of all classes that were looked for.
        segments: Segments in order of time, without overlap.
        detections: All candidates by decreasing score, which may overlap: the ranked list that detection metrics need.
        gaps: Parts about which nothing is known, in order of time.
        conditions: Everything that the segments depend on besides the video: weights, digest, decoder and its settings.

    Examples:
        >>> found = Timeline("match.mp4", 60.0, ("archery", "surfing"), (Segment(2.0, 6.5, "archery", 0.31),))
        >>> print(found)
        match.mp4 (1:00.0)
          0:02.0 to 0:06.5  archery (0.310)
    """

    video: str
    duration: float
    classes: tuple[str, ...]
    segments: tuple[Segment, ...]
    detections: tuple[Segment, ...] = ()
    gaps: tuple[Gap, ...] = ()
    conditions: Mapping[str, str | float] = field(default_factory=dict)

    def at(self, second: float) -> Segment | None:
        """Returns the segment at a time, or None if the video shows none of the classes then.

        Args:
            second: Time in seconds from the start of the video.
        """
        return next((segment for segment in self.segments if segment.start <= second < segment.end), None)

    def __str__(self) -> str:
        lines = [f"{self.video} ({clock(self.duration)})"]
        lines += [f"  {segment}" for segment in self.segments] or ["  none of the classes"]
        lines += [f"  {clock(gap.start)} to {clock(gap.end)}  unknown: {gap.reason}" for gap in self.gaps]
        return "\n".join(lines)


def clock(second: float) -> str:
    """Returns a time as minutes and seconds, with hours if there are any: 1:02:03.4.

    Args:
        second: Time in seconds, at least 0.
    """
    tenths = round(10 * second)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else str(minutes)
    return f"{start}:{tenths // 10:02}.{tenths % 10}"
