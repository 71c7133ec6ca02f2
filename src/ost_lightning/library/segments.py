"""Segments of videos as they are stored, and batches of them as they are scanned."""

from dataclasses import dataclass

from torch import Tensor

from ost_lightning.recognition.timelines import EmbeddedVideo


@dataclass(frozen=True, slots=True, eq=False)
class StoredSegment:
    """One segment of a video: what a row of the table says.

    Attributes:
        row: Number of the row in the table.
        video: Absolute path, or URL without passwords.
        video_id: Name in lists and reports.
        video_digest: Digest of the file's state when it was indexed; empty if it was not on that machine.
        start: Start of the segment in seconds.
        end: End of the segment in seconds; None if the video has no times.
        duration: Length of the whole video in seconds; None if it has no times.
        label: Name of the class; None if unknown.
        frame_times: Time of each of T frames in seconds; NaN if unknown.
        damaged: Number of sampled moments of the video that could not be read.
        embeddings: Unit vectors of the frames (T, d), in the table's precision; None if they were not asked for.
    """

    row: int
    video: str
    video_id: str
    video_digest: str
    start: float
    end: float | None
    duration: float | None
    label: str | None
    frame_times: tuple[float, ...]
    damaged: int
    embeddings: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBatch:
    """Consecutive rows of the table with their frame embeddings.

    Attributes:
        first: Number of the first row.
        embeddings: Unit vectors of the frames (n, T, d), fp16 or fp32; read only, because they may share memory with
            what Lance has read.
    """

    first: int
    embeddings: Tensor

    @property
    def rows(self) -> range:
        """Numbers of the rows."""
        return range(self.first, self.first + len(self.embeddings))


@dataclass(frozen=True, slots=True, eq=False)
class MeanBatch:
    """Consecutive rows of the table with the means of their frame embeddings.

    Attributes:
        first: Number of the first row.
        means: Means of the unit vectors, not normalized again, fp32 (n, d); read only.
    """

    first: int
    means: Tensor


@dataclass(frozen=True, slots=True)
class IndexedSource:
    """One video, or listed part of it, that is or will be in a table.

    Attributes:
        key: Digest of the address and the listed part, 16 hexadecimal digits.
        video: Absolute path, or URL without passwords.
        video_id: Name in lists and reports.
        video_digest: Digest of the file's state; empty if it is not on this machine.
        label: Name of the class; None if unknown.
    """

    key: str
    video: str
    video_id: str
    video_digest: str
    label: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewSegment:
    """One segment that is about to be stored.

    Attributes:
        source: Video that it belongs to.
        place: Number of the segment within its source, from 0.
        start: Start in seconds.
        end: End in seconds; None if the video has no times.
        duration: Length of the whole video in seconds; None if it has no times.
        frame_times: Time of each of T frames in seconds; empty if unknown.
        embeddings: Unit vectors of the frames, (T, d), in host memory.
        damaged: Number of sampled moments of the video that could not be read.
    """

    source: IndexedSource
    place: int
    start: float
    end: float | None
    duration: float | None
    frame_times: tuple[float, ...]
    embeddings: Tensor
    damaged: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class NewFrames:
    """The frames of one long video that are about to be stored.

    Attributes:
        source: Video that they belong to.
        embedded: Embeddings of its frames.
    """

    source: IndexedSource
    embedded: EmbeddedVideo


@dataclass(frozen=True, slots=True)
class Failure:
    """One video that could not be read.

    Attributes:
        source: The video.
        reason: Reason, with the path.
    """

    source: IndexedSource
    reason: str
