"""One table of a library: the segments that were embedded with the same weights and settings."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.files import unescape_bytes
from ost_lightning.library.datasets import (
    append_rows,
    delete_keys,
    open_dataset,
    replace_rows,
    show_newest,
    vectors,
    writing,
)
from ost_lightning.library.frames import stored_frames
from ost_lightning.library.rows import error_rows, frame_rows, segment_rows
from ost_lightning.library.schema import error_schema, frame_schema, segment_schema
from ost_lightning.library.segments import Failure, MeanBatch, NewFrames, NewSegment, SegmentBatch, StoredSegment
from ost_lightning.library.settings import TableSettings
from ost_lightning.library.video_names import VideoNames
from ost_lightning.machine import return_free_memory
from ost_lightning.recognition.timelines import EmbeddedVideo

if TYPE_CHECKING:
    import lance

_READ_AHEAD: Final = 1
"""Batches that Lance prepares while one is used."""
_RETURNED_BYTES: Final = 1 << 24
"""Size of the batches after which freed memory is returned to the system; otherwise hundreds of MB pile up."""
_READ_BYTES: Final = 1 << 24
"""Bytes that Lance may read ahead; without a limit, they are 2 GB."""
_BATCH_BYTES: Final = 1 << 22
"""Largest size of a batch, unless its number of rows is given."""
_ABOUT: Final = ["video", "video_id", "video_digest", "start", "end", "duration", "label", "frame_times", "damaged"]


class SegmentTable:
    """Segments of videos with their frame embeddings, in a folder of three Lance datasets.

    The table shows the rows that it had when it was opened, although other processes may add some; `refresh` shows
    those too. Row numbers count the rows that are shown, from 0.

    Args:
        folder: Folder of the table.

    Attributes:
        folder: Folder of the table.
        settings: Everything that the embeddings depend on besides the videos.

    Raises:
        UserError: If the folder contains no table of this version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, TableSettings.load(folder / "settings.json")
        frames, width, precision = self.settings.frames, self.settings.width, self.settings.segments.precision
        self._segments = open_dataset(folder / "segments.lance", segment_schema(frames, width, precision))
        self._schemas = {"frames": frame_schema(width, precision), "errors": error_schema()}

    def __len__(self) -> int:
        count: int = self._segments.count_rows()
        return count

    def __repr__(self) -> str:
        about = self.settings
        return f"SegmentTable({about.digest!r}, {len(self)} segments of {about.frames} frames, {about.weights!r})"

    @property
    def dataset(self) -> "lance.LanceDataset":
        """The segments as a Lance dataset, at the version that is shown."""
        return self._segments

    @cached_property
    def frame_dataset(self) -> "lance.LanceDataset":
        """The frames of long videos as a Lance dataset; created if missing."""
        return open_dataset(self.folder / "frames.lance", self._schemas["frames"])

    @cached_property
    def error_dataset(self) -> "lance.LanceDataset":
        """The videos that could not be read as a Lance dataset; created if missing."""
        return open_dataset(self.folder / "errors.lance", self._schemas["errors"])

    def refresh(self) -> bool:
        """Shows what other processes have written in the meantime, and returns whether there was anything."""
        return any([show_newest(one) for one in (self._segments, self.frame_dataset, self.error_dataset)])

    def batches(self, rows: int | None = None) -> Iterator[SegmentBatch]:
        """Yields all rows in order with their frame embeddings; the next ones are read ahead.

        Memory is bounded by a few batches.

        Args:
            rows: Largest number of rows per batch; None for 4 MB, 512 rows of 8 frames with 512 dimensions in fp16.
        """
        shape = (-1, self.settings.frames, self.settings.width)
        size = shape[1] * shape[2] * (2 if self.settings.segments.precision == "float16" else 4)
        first = returned = 0
        return_free_memory()
        for batch in self._scan("embeddings", max(1, _BATCH_BYTES // size) if rows is None else rows):
            embeddings = vectors(batch).view(shape)
            yield SegmentBatch(first, embeddings)
            first += len(embeddings)
            if (first - returned) * size >= _RETURNED_BYTES:
                returned = first
                return_free_memory()

    def means(self, rows: int = 8192) -> Iterator[MeanBatch]:
        """Yields all rows in order with the means of their frame embeddings.

        Args:
            rows: Largest number of rows per batch.
        """
        first = 0
        for batch in self._scan("mean", rows):
            means = vectors(batch).view(-1, self.settings.width)
            yield MeanBatch(first, means)
            first += len(means)

    def segments(self, rows: Sequence[int], *, embeddings: bool = False) -> list[StoredSegment]:
        """Returns the segments in some rows, in the order that was asked for.

        Args:
            rows: Numbers of rows.
            embeddings: Whether to read the frame embeddings, too.

        Raises:
            IndexError: If there is no such row.
        """
        wanted = [int(row) for row in rows]
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(self):
            raise IndexError(f"rows {min(wanted)} to {max(wanted)} of a table with {len(self)}")
        if not wanted:
            return []
        found = self._segments.take(wanted, columns=[*_ABOUT, *(["embeddings"] if embeddings else [])])
        clips: Any = [None] * len(wanted)
        if embeddings:
            clips = vectors(found["embeddings"].combine_chunks()).view(-1, self.settings.frames, self.settings.width)
        return [_stored(row, about, clip) for row, about, clip in zip(wanted, _abouts(found), clips, strict=True)]

    def frames(self, video: str | Path) -> EmbeddedVideo:
        """Returns all sampled frames of a long video, so that any stretch of it can be asked for.

        Args:
            video: Path or URL, or the name in lists.

        Raises:
            UserError: If the table has no such video, or it was short and is stored as one segment only.
        """
        name = VideoNames([video])
        keys = [key for key, *names in self._names(self.frame_dataset) if name.match(*names)]
        if not keys:
            raise UserError(
                f"The table {self.folder} has no frames of {video}: expected a video longer than "
                f"{self.settings.segments.longest_clip:g} s that was indexed as a whole."
            )
        return stored_frames(self.frame_dataset, keys[0], self.settings.frame_digest)

    def append(
        self,
        segments: Iterable[NewSegment],
        frames: Iterable[NewFrames] = (),
        failures: Iterable[Failure] = (),
        *,
        changed: Iterable[str] = (),
    ) -> None:
        """Stores segments of complete videos: all of them, or none if the process ends on the way.

        Other processes may write at the same time; Lance repeats a commit that collides with another one.

        Args:
            segments: Segments, all of each source.
            frames: Frames of the long videos among the sources.
            failures: Videos that could not be read. Those that have been read are no longer failures.
            changed: Keys of sources whose earlier segments are replaced, because the videos have changed.

        Raises:
            UserError: If an embedding doesn't fit the table or is not finite, or the disk is full.
        """
        stored, failed, changed = list(segments), list(failures), set(changed)
        attempted = [*(one.source for one in stored), *(one.source for one in failed)]
        new = segment_rows(stored, self.settings, self._segments.schema)
        with writing(self.folder):
            # the frames come first, because a video counts as done when its segments are there
            delete_keys(self.frame_dataset, changed)
            for one in frames:
                append_rows(self.frame_dataset, frame_rows(one, self.settings, self._schemas["frames"]))
            if changed:
                replace_rows(self._segments, new, changed)
            elif stored:
                append_rows(self._segments, new)
            if self.error_dataset.count_rows() or failed:
                delete_keys(self.error_dataset, [source.key for source in attempted])
            if failed:
                append_rows(self.error_dataset, error_rows(failed, self._schemas["errors"]))

    def find(self, videos: VideoNames) -> tuple[list[str], list[str], list[str]]:
        """Returns the keys of videos among the segments, the frames of long videos, and the errors.

        Args:
            videos: Names of videos.
        """
        first, second, third = (
            [key for key, *names in self._names(one) if videos.match(*names)]
            for one in (self._segments, self.frame_dataset, self.error_dataset)
        )
        return first, second, third

    def remove(self, videos: VideoNames) -> int:
        """Removes videos with all that was stored about them, and returns the number of their segments.

        Args:
            videos: Names of videos; those that the table doesn't have are ignored.
        """
        self.refresh()
        before = len(self)
        with writing(self.folder):
            for dataset, keys in zip(
                (self._segments, self.frame_dataset, self.error_dataset), self.find(videos), strict=True
            ):
                delete_keys(dataset, keys)
        return before - len(self)

    def compact(self, *, alone: bool = False) -> int:
        """Merges small files, and deletes earlier versions of the table, which readers may still be showing.

        Args:
            alone: Whether nobody else writes to the table, so that files of killed processes are deleted, too.

        Returns:
            Number of bytes that were freed.
        """
        self.refresh()
        freed = 0
        with writing(self.folder):
            for dataset in (self._segments, self.frame_dataset, self.error_dataset):
                dataset.optimize.compact_files()
                show_newest(dataset)
                freed += dataset.cleanup_old_versions(timedelta(0), delete_unverified=alone).bytes_removed
        return freed

    def _scan(self, column: str, rows: int) -> Iterator[Any]:
        if rows < 1:
            raise ValueError(f"rows per batch: {rows}, expected at least 1")
        scanned = self._segments.to_batches(
            columns=[column],
            batch_size=rows,
            batch_readahead=_READ_AHEAD,
            scan_in_order=True,
            strict_batch_size=True,
            io_buffer_size=_READ_BYTES,
        )
        return (batch[column] for batch in scanned if batch.num_rows)

    @staticmethod
    def _names(dataset: Any) -> list[tuple[str, str, str]]:
        """Key, address and name of each indexed source, once."""
        first = "frame = 0" if "frame" in dataset.schema.names else None
        found = dataset.to_table(columns=["key", "video", "video_id"], filter=first)
        columns = (found[name].to_pylist() for name in ("key", "video", "video_id"))
        return list(dict.fromkeys(zip(*columns, strict=True)))


def _abouts(found: Any) -> list[dict[str, Any]]:
    return list(found.select(_ABOUT).to_pylist())


def _stored(row: int, about: dict[str, Any], clip: Tensor | None) -> StoredSegment:
    about["frame_times"] = tuple(about["frame_times"])
    about |= {name: unescape_bytes(about[name]) for name in ("video", "video_id")}
    return StoredSegment(row, **about, embeddings=clip)
