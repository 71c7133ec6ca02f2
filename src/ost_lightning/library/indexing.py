"""Indexing: videos that a table doesn't have yet are read, embedded and stored, by any number of processes."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ost_lightning.library.claims import Claims
from ost_lightning.library.datasets import delete_keys
from ost_lightning.library.embedding import ReadSource, SegmentEncoder
from ost_lightning.library.known import KnownVideos, VideoState
from ost_lightning.library.segments import Failure, IndexedSource, NewFrames, NewSegment
from ost_lightning.library.sources import VideoSource
from ost_lightning.library.table import SegmentTable
from ost_lightning.recognition.read_ahead import read_ahead
from ost_lightning.video import VideoReadError

_LARGEST_COMMIT: Final = 4096
"""Segments after which a commit doesn't wait any longer."""
_WAIT: Final = 0.2
"""Seconds between two looks at videos that other processes have claimed."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Settings of how a process indexes, which the result doesn't depend on.

    Attributes:
        threads: Threads that read videos ahead; 0 reads each one when it is needed.
        batch_size: Largest number of clips that are encoded together.
        commit_seconds: Seconds after which what was embedded is stored, about as much as a killed process loses.
        retry: Whether to try again videos that could not be read, although they have not changed.
        rank: Number of this process among those that share out the same videos, from 0.
        world_size: Number of these processes.
    """

    threads: int = 0
    batch_size: int = 8
    commit_seconds: float = 10.0
    retry: bool = False
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far indexing is.

    Attributes:
        stored: Number of videos that the table had from the start.
        failed: Number of videos that could not be read before, have not changed, and are not tried again.
        todo: Number of all other videos, for all processes together.
        remaining: Number of them that no process has stored yet.
        indexed: Number of videos that this process has stored.
        segments: Number of their segments.
        failures: Videos that this process could not read.
        unreadable: Number of videos that no process could read in this run, at the end.
        seconds: Time since the start.
    """

    stored: int
    failed: int
    todo: int
    remaining: int
    indexed: int = 0
    segments: int = 0
    failures: tuple[Failure, ...] = ()
    unreadable: int = 0
    seconds: float = 0.0

    @property
    def videos_per_second(self) -> float:
        """Videos that all processes together have finished per second."""
        return (self.todo - self.remaining) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until all videos are done, in seconds; None before the first one is."""
        rate = self.videos_per_second
        return self.remaining / rate if rate else None


Report = Callable[[IndexProgress], None]


def index_sources(
    table: SegmentTable,
    sources: Sequence[VideoSource],
    encoder: SegmentEncoder,
    settings: IndexSettings = IndexSettings(),  # frozen
    report: Report | None = None,
) -> IndexProgress:
    """Stores the segments of all videos that the table doesn't have in their present state.

    A process claims a video before it reads it, and releases it when it is stored. It begins with its own share, and
    goes on with what the others have left. At the end, it waits for the videos that others have claimed, and does those
    whose process has died.

    Args:
        table: Table.
        sources: Videos, the same in all processes that share them out.
        encoder: Encoder, with the settings of the table.
        settings: Settings of this process.
        report: Function that is called with the progress after each batch.

    Returns:
        The progress at the end.

    Raises:
        UserError: If the table can't be written.
    """
    with Claims(table.folder) as claims:
        known = KnownVideos(table)
        _delete_unfinished_frames(table, known, claims)
        return _Indexing(table, known, claims, encoder, settings, report).run(sources)


class _Indexing:
    """One process that indexes."""

    def __init__(
        self,
        table: SegmentTable,
        known: KnownVideos,
        claims: Claims,
        encoder: SegmentEncoder,
        settings: IndexSettings,
        report: Report | None,
    ) -> None:
        self._table, self._known, self._claims, self._encoder = table, known, claims, encoder
        self._settings, self._report = settings, report
        self._progress = IndexProgress(0, 0, 0, 0)
        self._remaining: set[str] = set()
        self._busy: list[VideoSource] = []
        self._segments: list[NewSegment] = []
        self._frames: list[NewFrames] = []
        self._failures: list[Failure] = []
        self._changed: set[str] = set()
        self._began = self._committed = time.monotonic()

    def run(self, sources: Sequence[VideoSource]) -> IndexProgress:
        different = list({source.key: source for source in sources}.values())
        states = [self._state(source.identity()) for source in different]
        todo = [source for source, state in zip(different, states, strict=True) if state in ("new", "changed")]
        self._remaining = {source.key for source in todo}
        self._tell(stored=states.count("stored"), failed=states.count("failed"), todo=len(todo))
        self._began = self._committed = time.monotonic()  # the report may have waited for other processes
        # by place among all videos, which is the same in all processes
        share = {source.key for source in different[self._settings.rank :: self._settings.world_size]}
        # those of the others from their end, which their own processes reach last
        others = [source for source in reversed(todo) if source.key not in share] if self._claims.shared else []
        self._index([*(source for source in todo if source.key in share), *others])
        while self._busy:
            busy, self._busy = self._busy, []
            self._index(busy)
            if len(self._busy) == len(busy):
                time.sleep(_WAIT)
        self._known.refresh()
        self._tell(unreadable=sum(self._known.has_failed(source.key) for source in todo))
        return self._progress

    def _state(self, about: IndexedSource) -> VideoState:
        state = self._known.state(about)
        return "new" if state == "failed" and self._settings.retry else state

    def _index(self, sources: Iterable[VideoSource]) -> None:
        settings = self._settings
        try:
            for batch in read_ahead(self._claimed(sources), self._encoder.read, settings.threads, settings.batch_size):
                self._embed(batch)
                self._tell()
        except KeyboardInterrupt:
            self._commit()
            raise
        self._commit()

    def _claimed(self, sources: Iterable[VideoSource]) -> Iterator[tuple[VideoSource, IndexedSource]]:
        """Sources that this process has claimed and that nobody has stored; the others are left for later."""
        for source in sources:
            if source.key not in self._remaining:
                continue
            if not self._claims.take(source.key):
                self._busy.append(source)
                continue
            # another process may have stored and released it since the last look
            self._remaining -= self._known.refresh()
            about = source.identity()
            state = self._state(about)
            if source.key not in self._remaining or state in ("stored", "failed"):
                self._claims.release([source.key])
                self._remaining.discard(source.key)
                continue
            if state == "changed":
                self._changed.add(source.key)
            yield source, about

    def _embed(self, batch: Sequence[ReadSource]) -> None:
        clips = [read for read in batch if read.frames is not None]
        if clips:
            self._segments += self._encoder.embed_clips(clips)
        self._failures += [Failure(read.about, read.error) for read in batch if read.error]
        for read in batch:
            self._commit_if_due()
            if read.is_long:
                self._embed_long(read)

    def _embed_long(self, read: ReadSource) -> None:
        try:
            segments, frames = self._encoder.embed_long(read, self._table.settings.frame_digest)
        except VideoReadError as error:
            self._failures.append(Failure(read.about, str(error)))
            return
        self._segments += segments
        self._frames += [] if frames is None else [frames]

    def _commit_if_due(self) -> None:
        waited = time.monotonic() - self._committed
        if waited >= self._settings.commit_seconds or len(self._segments) >= _LARGEST_COMMIT:
            self._commit()

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if not (self._segments or self._failures):
            return
        stored = {segment.source.key for segment in self._segments}
        self._table.append(self._segments, self._frames, self._failures, changed=self._changed & stored)
        finished = stored | {failure.source.key for failure in self._failures}
        self._remaining -= finished
        self._claims.release(finished)
        now = self._progress
        self._tell(
            indexed=now.indexed + len(stored),
            segments=now.segments + len(self._segments),
            failures=(*now.failures, *self._failures),
        )
        self._segments, self._frames, self._failures = [], [], []
        self._changed -= finished

    def _tell(self, **changes: Any) -> None:
        seconds = time.monotonic() - self._began
        self._progress = replace(self._progress, remaining=len(self._remaining), seconds=seconds, **changes)
        if self._report is not None:
            self._report(self._progress)


def _delete_unfinished_frames(table: SegmentTable, known: KnownVideos, claims: Claims) -> None:
    """Deletes the frames of videos whose segments a killed process has not stored any more."""
    found = table.frame_dataset.to_table(columns=["key", "video_digest"], filter="frame = 0").to_pylist()
    for row in found:
        key, digest = row["key"], row["video_digest"]
        if known.digest(key) == digest or not claims.take(key):
            continue
        known.refresh()
        if known.digest(key) != digest:
            delete_keys(table.frame_dataset, [key], f"video_digest = '{digest}'")
        claims.release([key])
