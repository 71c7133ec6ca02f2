"""What is indexed: videos that people name, and records of data sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from ost_lightning.library.segments import IndexedSource
from ost_lightning.library.video_names import address_text
from ost_lightning.models import file_state
from ost_lightning.video import UNLABELED, VideoRecord
from ost_lightning.video.storage import is_remote, video_address


@dataclass(frozen=True, slots=True)
class VideoSource:
    """One video, or listed part of one, to be indexed.

    Attributes:
        record: Address, listed part and name.
        label: Name of the class; None if unknown.
        as_clip: Whether it is one segment, however long it is.
    """

    record: VideoRecord
    label: str | None = None
    as_clip: bool = False

    @property
    def key(self) -> str:
        """Digest of the address and the listed part, 16 hexadecimal digits."""
        record = self.record
        parts = (address_text(str(record.path)), record.start, record.end, record.frames)
        return blake2b(repr(parts).encode(errors="surrogateescape"), digest_size=8).hexdigest()

    def identity(self) -> IndexedSource:
        """Returns how the source is stored, with the present state of its file."""
        video = address_text(str(self.record.path))
        return IndexedSource(self.key, video, self.record.id, video_digest(video), self.label)


def video_sources(videos: Iterable[str | Path | VideoSource]) -> list[VideoSource]:
    """Returns videos as sources.

    Args:
        videos: Paths of files or folders of frames, URLs, or sources.
    """
    return [
        video
        if isinstance(video, VideoSource)
        else VideoSource(VideoRecord(video_address(video), UNLABELED, str(video)))
        for video in videos
    ]


def record_sources(records: Iterable[VideoRecord], classes: Sequence[str]) -> list[VideoSource]:
    """Returns records of a data set as sources, each of which is one segment.

    Args:
        records: Records.
        classes: Names of the classes that their labels index.
    """
    return [
        VideoSource(record, None if record.label == UNLABELED else classes[record.label], as_clip=True)
        for record in records
    ]


def video_digest(address: str) -> str:
    """Returns a digest of a file's state, as the cache of embeddings judges it, 16 hexadecimal digits.

    The state is the inode, size, and times of modification and change; of a folder of frames, those of all its files;
    of a member of a tar shard, those of the shard.

    Args:
        address: Path, or URL.

    Returns:
        The digest; empty for URLs, which could change unnoticed, and for files that are not on this machine.
    """
    if is_remote(address):
        return ""
    path = Path(address)
    shard = path if path.exists() else next((parent for parent in path.parents if parent.is_file()), None)
    if shard is None:
        return ""
    try:
        state = (str(path.relative_to(shard)), *file_state(shard))
    except OSError:  # deleted in the meantime, or not accessible
        return ""
    return blake2b(repr(state).encode(errors="surrogateescape"), digest_size=8).hexdigest()
