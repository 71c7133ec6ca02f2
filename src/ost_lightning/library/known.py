"""Which videos a table already has, kept up to date while other processes add some."""

from datetime import datetime
from typing import Any, Literal

from ost_lightning.library.segments import IndexedSource
from ost_lightning.library.table import SegmentTable

VideoState = Literal["new", "changed", "stored", "failed"]


class KnownVideos:
    """Videos that are in a table, and those that could not be read.

    Args:
        table: Table.
    """

    def __init__(self, table: SegmentTable) -> None:
        self._table = table
        self._stored: dict[str, tuple[str, str | None]] = {}
        self._failed: dict[str, tuple[str, datetime | None]] = {}
        self._fragments: set[int] = set()
        self._versions = (0, 0)
        self.refresh()

    def refresh(self) -> set[str]:
        """Takes notice of what any process has stored; only new parts of the table are read.

        Returns:
            Keys of the videos that were stored, or could not be read, since the last call.
        """
        self._table.refresh()
        versions = self._table.dataset.version, self._table.error_dataset.version
        if versions == self._versions:
            return set()
        segments, errors = (now != before for now, before in zip(versions, self._versions, strict=True))
        self._versions = versions
        return (self._read_segments() if segments else set()) | (self._read_errors() if errors else set())

    def state(self, source: IndexedSource) -> VideoState:
        """Returns what is known about a video: `failed` is one that could not be read, and has not changed since.

        Args:
            source: Video with its present digest and label.
        """
        if source.video_digest and self._failed.get(source.key, ("", None))[0] == source.video_digest:
            return "failed"
        if source.key not in self._stored:
            return "new"
        digest, label = self._stored[source.key]
        # URLs have no digest, and a file that is gone can't be read again
        same = source.video_digest in ("", digest) and source.label in (None, label)
        return "stored" if same else "changed"

    def digest(self, key: str) -> str | None:
        """Returns the digest of a stored video, None if it is not stored."""
        return self._stored[key][0] if key in self._stored else None

    def has_failed(self, key: str) -> bool:
        """Returns whether a video could not be read when it was last tried."""
        return key in self._failed

    def _read_segments(self) -> set[str]:
        columns = ["key", "video_digest", "label"]
        fragments = {fragment.fragment_id: fragment for fragment in self._table.dataset.get_fragments()}
        new: list[Any] = [fragments[number] for number in sorted(fragments.keys() - self._fragments)]
        self._fragments = set(fragments)
        if not new:
            return set()
        # a merge of small files looks new as a whole, but says the same
        rows = self._table.dataset.scanner(columns=columns, filter="place = 0", fragments=new).to_table()
        keys, digests, labels = (rows[name].to_pylist() for name in columns)
        found = {key: (digest, label) for key, digest, label in zip(keys, digests, labels, strict=True)}
        self._stored |= found
        return set(found)

    def _read_errors(self) -> set[str]:
        columns = [self._table.error_dataset.to_table()[name].to_pylist() for name in ("key", "video_digest", "time")]
        before = self._failed
        self._failed = {key: (digest, time) for key, digest, time in zip(*columns, strict=True)}
        return {key for key, attempt in self._failed.items() if before.get(key) != attempt}
