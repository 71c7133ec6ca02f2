"""Whether two lists name the same videos, also if their roots differ.

Publishers' names identify videos anywhere. Another name, such as `run/1.mp4`, may belong to other videos below another
root. There, contents decide, or the address: a file may have been encoded again where it is.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Final

from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations.video_ids import id_hash, published_id
from ost_lightning.video.storage import ShardMember, VideoAddress, address_text, is_remote

_SAMPLE: Final = 1 << 16
"""Bytes that are read at the beginning, in the middle and at the end of a file."""
_THREADS: Final = 16
"""Files that are read at once, because network file systems take long to answer."""
_FILES_PER_TASK: Final = 64
"""Largest number of files that a thread is given together: a task for each file takes longer than a file's name."""


@dataclass(frozen=True, slots=True)
class VideoIdentity:
    """What identifies a video.

    Attributes:
        name: Publisher's id; None for other names.
        contents: Digest of samples of the contents; None for published names, and files that can't be read.
        address: Absolute path or URL; for a member of a tar shard, that of the shard with the member's place. Empty for
            published names.
    """

    name: str | None
    contents: str | None = None
    address: str = ""

    @property
    def best(self) -> str:
        """The publisher's id, otherwise the contents, otherwise the address."""
        if self.name is not None:
            return f"name:{self.name}"
        return f"address:{self.address}" if self.contents is None else f"contents:{self.contents}"

    @property
    def hashes(self) -> tuple[int, ...]:
        """Hashes of which two videos share one if they are the same."""
        texts = {self.best} if self.name is not None else {self.best, f"address:{self.address}"}
        return tuple(id_hash(text) for text in sorted(texts))


def identities(records: Sequence[VideoRecord]) -> list[VideoIdentity]:
    """Returns what identifies videos; files without a publisher's name are opened, but not read completely.

    Args:
        records: Records with addresses, as data modules have them.
    """
    names = [published_id(record.id) for record in records]
    others = [record.path for record, name in zip(records, names, strict=True) if name is None]
    size = min(_FILES_PER_TASK, max(1, len(others) // _THREADS))
    tasks = [others[start : start + size] for start in range(0, len(others), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        of_others = chain.from_iterable(pool.map(_identities_of_files, tasks))
        return [next(of_others) if name is None else VideoIdentity(name) for name in names]


def _identities_of_files(addresses: Sequence[VideoAddress]) -> list[VideoIdentity]:
    return [_identity_of_file(address) for address in addresses]


def _identity_of_file(address: VideoAddress) -> VideoIdentity:
    if isinstance(address, ShardMember):
        shard = address.shard if is_remote(address) else os.path.realpath(address.shard)
        place = f"{shard}\n{address.offset}"
    else:
        place = address_text(str(address)) if is_remote(address) else os.path.realpath(address)
    return VideoIdentity(None, None if is_remote(address) else _contents(address), place)


def _contents(address: VideoAddress) -> str | None:
    """Digest of samples of a local file, folder of frames, or member of a shard; None if it can't be read."""
    digest = blake2b(digest_size=16)
    try:
        if isinstance(address, ShardMember):
            _add(digest, Path(address.shard), address.offset, address.size)
            return digest.hexdigest()
        path = Path(address)
        if not path.exists():
            path = path.with_suffix("")  # a folder of frames that is listed by the name of the video
        if not path.is_dir():
            _add(digest, path, 0, path.stat().st_size)
            return digest.hexdigest()
        names = sorted(os.listdir(path))
        digest.update(repr(names).encode())
        files = [path / name for name in names if (path / name).is_file()]
        for file in files[:: max(1, (len(files) - 1) // 2)]:
            _add(digest, file, 0, file.stat().st_size)
    except OSError:  # missing, or not accessible
        return None
    return digest.hexdigest()


def _add(digest: blake2b, file: Path, start: int, size: int) -> None:
    digest.update(f"{size};".encode())
    with file.open("rb") as handle:
        for place in sorted({0, max(0, size // 2), max(0, size - _SAMPLE)}):
            handle.seek(start + place)
            digest.update(handle.read(min(_SAMPLE, size - place)))
