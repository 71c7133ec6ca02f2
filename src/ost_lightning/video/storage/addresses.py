"""Where videos are: files, folders of extracted frames, members of tar shards read in place, and URLs.

A record keeps an address, which is small and picklable; nothing is opened before a reader asks for it.
"""

import os
import re
import tarfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from posixpath import normpath
from typing import Final

from fsspec.core import url_to_fs

from ost_lightning.errors import UserError
from ost_lightning.video.storage.shard_index import ShardIndex, has_shards

_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/+(?=[^/])")
_HEADER_BYTES: Final = 512
"""Of a tar member, before its data."""
try:
    from aiohttp import ClientError as _HTTPError
except ImportError:  # only there with fsspec's http extra
    _HTTPError = OSError  # type: ignore[assignment, misc]
TRANSFER_ERRORS: Final = (OSError, ValueError, ImportError, RuntimeError, _HTTPError)
"""What fsspec's file systems raise for an address that can't be read; ImportError for a protocol's missing package."""


@dataclass(frozen=True, slots=True)
class ShardMember:
    """A file inside an uncompressed tar shard.

    Attributes:
        shard: Path or URL of the tar file.
        name: The member's.
        offset: Where its bytes begin.
        size: How many they are.
    """

    shard: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"


VideoAddress = Path | str | ShardMember
"""A local file or folder of frames (path), anything that fsspec can open (URL), or a member of a tar shard."""


class VideoRoot:
    """What the paths of a list are relative to: a folder of videos or of frame folders, of tar shards, or a URL.

    A folder with `.tar` files is one of shards: their index is read, or built and kept beside them, on construction. A
    URL is one of shards if an index lies there; `ost data shard` writes it.

    Args:
        root: Folder, a single tar shard, or URL.

    Raises:
        UserError: If the folder does not exist, or a shard can't be read.
    """

    def __init__(self, root: Path | str) -> None:
        # Path("s3://bucket") has lost a slash
        self.root = _URL.sub(lambda match: match[0].rstrip("/") + "//", str(root), count=1).rstrip("/") or "/"
        self._prefix = self.root.rstrip("/") + "/"
        if not is_remote(self.root) and not Path(self.root).exists():
            raise UserError(
                f"The video folder {self.root} does not exist. Set the data's `root` to where the videos are."
            )
        self._index = ShardIndex.of(self.root) if has_shards(self.root) else None

    def locate(self, path: str) -> VideoAddress:
        """The address of a list's path; whether there is something is seen when it is opened.

        Args:
            path: Relative to the root, with `/`; an absolute path or URL stays what it is.
        """
        if self._index is not None and (place := self._index.find(path)) is not None:
            return ShardMember(self._prefix + place.shard if place.shard else self.root, path, place.offset, place.size)
        return path if path.startswith("/") or "://" in path else self._prefix + path

    def names_in(self, folder: str) -> frozenset[str] | None:
        """What lies directly in a folder below the root, in shards and beside them.

        Args:
            folder: Relative to the root; empty for the root itself.

        Returns:
            Names, or None behind a URL without an index of shards, where looking is slow or impossible.
        """
        if self._index is None and is_remote(self.root):
            return None
        inside = self._shard_names.get(normpath(f"./{folder}"), ())
        place = Path(self.root) / folder
        beside = os.listdir(place) if not is_remote(self.root) and place.is_dir() else ()
        return frozenset([*inside, *beside])

    @cached_property
    def _shard_names(self) -> dict[str, list[str]]:
        """Names in the shards, by folder."""
        names: dict[str, list[str]] = {}
        for path in self._index.places if self._index is not None else ():
            folder, _, name = path.rpartition("/")
            names.setdefault(folder or ".", []).append(name)
        return names


def is_remote(address: VideoAddress) -> bool:
    """Whether an address is one for fsspec."""
    if isinstance(address, ShardMember):
        return "://" in address.shard
    return isinstance(address, str) and "://" in address


def stamp(address: VideoAddress) -> tuple[int, int]:
    """Bytes of a video, and when it was last written (ns since 1970; 0 where not known); zeros if it is not there.

    Raises:
        UserError: If it may not be looked at.
    """
    try:
        if is_remote(address):
            shard = address.shard if isinstance(address, ShardMember) else str(address)
            files, path = url_to_fs(shard)
            size, modified = int(files.size(path) or 0), 0
        else:
            status = Path(address.shard if isinstance(address, ShardMember) else address).stat()
            size, modified = status.st_size, status.st_mtime_ns
    except FileNotFoundError:
        return 0, 0
    except TRANSFER_ERRORS as error:
        raise UserError(f"{address} can't be looked at ({error}).") from error
    return (address.size if isinstance(address, ShardMember) else size), modified


def read_bytes(address: VideoAddress) -> BytesIO:
    """Fetches what is at a URL, or a member of a shard there, in one request.

    Raises:
        OSError: Or another of `TRANSFER_ERRORS`, if that fails.
    """
    if isinstance(address, ShardMember):
        files, path = url_to_fs(address.shard)
        data = files.cat_file(path, start=address.offset - _HEADER_BYTES, end=address.offset + address.size)
        check_member(address, data[:_HEADER_BYTES])
        return BytesIO(data[_HEADER_BYTES:])
    files, path = url_to_fs(str(address))
    return BytesIO(files.cat_file(path))


def local_url(address: VideoAddress) -> str:
    """How FFmpeg opens a local address by itself; a shard's member is read through its `subfile` protocol.

    Raises:
        OSError: If there is no such file, or a shard can't be read.
        ValueError: If a shard is not the one that was indexed.
    """
    if not isinstance(address, ShardMember):
        if not Path(address).is_file():
            raise FileNotFoundError(address)
        return f"file:{address}"
    with Path(address.shard).open("rb") as shard:
        shard.seek(address.offset - _HEADER_BYTES)
        check_member(address, shard.read(_HEADER_BYTES))
    return f"subfile,,start,{address.offset},end,{address.offset + address.size},,:{address.shard}"


def check_member(member: ShardMember, header: bytes) -> None:
    """Makes sure that a shard is still the one that was indexed.

    Raises:
        ValueError: If no file of the member's size begins where the index says.
    """
    try:
        size = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
    except tarfile.HeaderError:
        size = -1
    if size != member.size:
        raise ValueError("the shard was changed after it was indexed: delete the index beside it")
