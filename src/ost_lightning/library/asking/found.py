"""Segments that were found in a library, ranked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ost_lightning.characters import escaped
from ost_lightning.library.segments import StoredSegment
from ost_lightning.recognition.timelines import Segment, Timeline
from ost_lightning.recognition.timelines.timeline import clock
from ost_lightning.video.storage import is_remote
from ost_lightning.vocabulary import counted

RankedBy = Literal["similarity", "probability"]
"""What decides the order: the matcher's similarity, or the probability among the classes of a label space."""
_MOVED: Final = "the file is no longer there"


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """One segment that was found.

    Attributes:
        segment: The stored segment.
        score: Similarity or probability.
        second: Time of the frame that fits best, in seconds; None if the frames have no times.
        moved: Whether the video's file is no longer where it was indexed.
    """

    segment: StoredSegment
    score: float
    second: float | None
    moved: bool

    def __str__(self) -> str:
        stored = self.segment
        end = "" if stored.end is None else f"{clock(stored.start)} to {clock(stored.end)}  "
        moved = f"  ({_MOVED})" if self.moved else ""
        return f"{self.score:.4f}  {end}{escaped(stored.video)}{moved}"


@dataclass(frozen=True, slots=True)
class FoundSegments:
    """Segments that fit a query best, in decreasing order of score.

    Attributes:
        query: What was looked for, in words.
        segments: The segments.
        ranked_by: What decides the order.
        searched: Number of segments in the table.
        scored: Number of segments whose score was computed; fewer than all if a coarse stage chose candidates.
        conditions: Everything that scores depend on besides the segments: weights, matcher, and their digests.
    """

    query: str
    segments: tuple[FoundSegment, ...]
    ranked_by: RankedBy
    searched: int
    scored: int
    conditions: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.segments)

    def summary(self) -> str:
        """Returns how many segments were found among how many, and how they were ranked, in words."""
        chosen = "" if self.scored == self.searched else f", {self.scored:,} of them after a coarse stage"
        matcher = self.conditions.get("matcher", "")
        return (
            f"the best {len(self):,} of {counted(self.searched, 'segment')}{chosen}, ranked by "
            f"{self.ranked_by} ({matcher})"
        )

    def to_fiftyone(self, field: str = "found") -> list[Any]:
        """Returns one sample of FiftyOne per local video that is still there, to be added to a dataset.

        Args:
            field: Field of the samples that holds the segments.

        Raises:
            UserError: If FiftyOne is not installed, or a video can't be read.
        """
        scored = [(found.segment, self.query, found.score) for found in self.segments]
        return samples(timelines(scored, (self.query,), self.conditions), field)

    def __str__(self) -> str:
        width = len(str(len(self)))
        first = f"{escaped(self.query)}: {self.summary()}"
        return "\n".join([first, *(f"{rank:{width + 2}}  {one}" for rank, one in enumerate(self.segments, 1))])


def is_moved(video: str) -> bool:
    """Returns whether a local file is no longer there; what is on the network is not looked for."""
    return not is_remote(video) and not Path(video).exists()


def timelines(
    scored: Iterable[tuple[StoredSegment, str, float]], classes: Sequence[str], conditions: Mapping[str, str]
) -> list[Timeline]:
    """Returns segments as timelines, one per video, for programs that take those; videos need times.

    Args:
        scored: Segments, each with the name of its class and its score.
        classes: Names of all classes.
        conditions: What the scores depend on.
    """
    videos: dict[str, list[tuple[StoredSegment, Segment]]] = {}
    for stored, label, score in scored:
        if stored.end is not None:
            segment = Segment(stored.start, stored.end, label, score)
            videos.setdefault(stored.video, []).append((stored, segment))
    return [
        Timeline(
            video,
            max(stored.duration or segment.end for stored, segment in every),
            tuple(classes),
            tuple(sorted((segment for _, segment in every), key=lambda segment: segment.start)),
            conditions=dict(conditions),
        )
        for video, every in videos.items()
    ]


def samples(found: Iterable[Timeline], field: str) -> list[Any]:
    """Returns one sample of FiftyOne per local video that is still there.

    Args:
        found: Timelines.
        field: Field of the samples that holds the segments.

    Raises:
        UserError: If FiftyOne is not installed, or a video can't be read.
    """
    from ost_lightning.recognition.timelines.exports import fiftyone_sample

    here = [timeline for timeline in found if not is_remote(timeline.video) and not is_moved(timeline.video)]
    return [fiftyone_sample(timeline, field) for timeline in here]
