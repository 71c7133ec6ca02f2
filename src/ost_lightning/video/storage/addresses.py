"""Addresses of videos: files, folders of extracted frames, members of tar shards read in place, and URLs.

A record holds an address, which is small and picklable; nothing is opened before a reader asks for it.
"""

import os
import re
import sys
import tarfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from posixpath import normpath
from typing import Final

from fsspec.core import url_to_fs

from ost_lightning.errors import UserError
from ost_lightning.video.storage.shard_index import ShardIndex, has_shards, open_tar

_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/+(?=[^/])")
_HEADER_BYTES: Final = 16 * tarfile.BLOCKSIZE
"""Bytes before the data of a tar member in which its header begins, with any extra blocks for long names."""


@dataclass(frozen=True, slots=True)
class ShardMember:
    """A file inside an uncompressed tar shard.

    Attributes:
        shard: Path or URL of the tar file.
        name: Name of the member.
        offset: Offset of its first byte in the tar file.
        size: Size in bytes.
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
    """Root of the paths in a list: a folder of videos, of frame folders or of tar shards, or a URL.

    A folder with `.tar` files is a folder of shards: their index is read, or built and saved beside them, on
    construction. A URL holds shards if there is an index, which `ost data shard` writes.

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
        self._links: set[str] = set()
        self._real_folders: dict[str, str] = {}

    def locate(self, path: str) -> VideoAddress:
        """Returns the address of a listed path, without checking that it exists.

        Args:
            path: Path relative to the root, with `/`; absolute paths and URLs are returned unchanged.
        """
        if self._index is not None and (found := self._index.find(path)) is not None:
            return ShardMember(self._prefix + found.shard if found.shard else self.root, path, found.offset, found.size)
        return path if path.startswith("/") or "://" in path else self._prefix + path

    def names_in(self, folder: str) -> frozenset[str] | None:
        """Lists the names directly inside a folder below the root, of members of shards and of loose files.

        Args:
            folder: Path relative to the root; empty for the root itself.

        Returns:
            Names, or None for a URL without an index of shards, where listing is slow or impossible.
        """
        if self._index is None and is_remote(self.root):
            return None
        members = self._shard_names.get(normpath(f"./{folder}"), ())
        local = Path(self.root) / folder
        if is_remote(self.root) or not local.is_dir():
            return frozenset(members)
        names = list(members)
        with os.scandir(local) as entries:
            for entry in entries:
                names.append(entry.name)
                if entry.is_symlink():
                    self._links.add(f"{local}/{entry.name}")
        return frozenset(names)

    def identity(self, address: VideoAddress) -> str:
        """Returns a text that is the same for all addresses of one video: `./x`, `a/../x`, links and absolute paths.

        Links to a video are recognized in folders that were listed by `names_in`.
        """
        if isinstance(address, ShardMember):
            shard = address.shard if is_remote(address) else self._real(address.shard)
            return f"{shard}\n{address.offset}"
        text = str(address)
        if is_remote(text):
            protocol, _, path = text.partition("://")
            return f"{protocol}://{normpath(path)}"
        return self._real(text)

    def _real(self, path: str) -> str:
        """Real path of a file; that of each folder is looked up once."""
        folder, _, name = path.rstrip("/").rpartition("/")
        folder = folder or ("/" if path.startswith("/") else ".")
        if name in ("", ".", "..") or (self._links and f"{Path(folder)}/{name}" in self._links):
            return os.path.realpath(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return f"{self._real_folders[folder].rstrip('/')}/{name}"

    @cached_property
    def _shard_names(self) -> dict[str, list[str]]:
        """Names inside the shards, by folder."""
        names: dict[str, list[str]] = {}
        for path in self._index.members if self._index is not None else ():
            folder, _, name = path.rpartition("/")
            names.setdefault(folder or ".", []).append(name)
        return names


def is_remote(address: VideoAddress) -> bool:
    """Whether an address has to be read through fsspec."""
    if isinstance(address, ShardMember):
        return "://" in address.shard
    return isinstance(address, str) and "://" in address


def video_address(video: Path | str) -> Path | str:
    """Returns the address of a video that a person named: a URL unchanged, and anything else as a path."""
    return video if isinstance(video, str) and is_remote(video) else Path(video)


def size_and_mtime(address: VideoAddress) -> tuple[int, int]:
    """Size of a video in bytes and its modification time (ns since 1970; 0 if unknown); zeros if it does not exist.

    Raises:
        UserError: If the file system refuses access.
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
    except transfer_errors() as error:
        raise UserError(f"{address} can't be accessed ({error}). Check its permissions and the connection.") from error
    return (address.size if isinstance(address, ShardMember) else size), modified


def transfer_errors() -> tuple[type[Exception], ...]:
    """Returns the exceptions of fsspec's file systems for unreadable addresses.

    ImportError is one of them, for a protocol whose package is missing. Errors of HTTP are those of aiohttp, which
    fsspec imports with the first such URL.
    """
    http = sys.modules.get("aiohttp")
    errors: tuple[type[Exception], ...] = (OSError, ValueError, ImportError, RuntimeError)
    return errors if http is None else (*errors, http.ClientError)


def read_bytes(address: VideoAddress) -> BytesIO:
    """Downloads the file at a URL, or a member of a shard there, in one request.

    Raises:
        OSError: If the download fails; other exceptions of `transfer_errors` are possible, too.
    """
    if isinstance(address, ShardMember):
        files, path = url_to_fs(address.shard)
        start = max(0, address.offset - _HEADER_BYTES)
        data = files.cat_file(path, start=start, end=address.offset + address.size)
        check_member(address, data[: address.offset - start])
        return BytesIO(data[address.offset - start :])
    files, path = url_to_fs(str(address))
    return BytesIO(files.cat_file(path))


def local_url(address: VideoAddress) -> str:
    """URL by which FFmpeg opens a local address; members of shards are read through its `subfile` protocol.

    Raises:
        OSError: If the file does not exist, or the shard can't be read.
        ValueError: If the shard has changed since it was indexed.
    """
    if not isinstance(address, ShardMember):
        if not Path(address).is_file():
            raise FileNotFoundError(address)
        return f"file:{address}"
    with Path(address.shard).open("rb") as shard:
        start = max(0, address.offset - _HEADER_BYTES)
        shard.seek(start)
        check_member(address, shard.read(address.offset - start))
    return f"subfile,,start,{address.offset},end,{address.offset + address.size},,:{address.shard}"


def check_member(member: ShardMember, before: bytes) -> None:
    """Checks that a shard has not changed since it was indexed.

    Args:
        member: Location according to the index.
        before: What precedes the data of the member in the shard; its header is at the end.

    Raises:
        ValueError: If no file of the member's name and size begins where the index says.
    """
    # a long name is in extra blocks before the header, whose number is unknown
    for blocks in range(1, len(before) // tarfile.BLOCKSIZE + 1):
        try:
            with open_tar(BytesIO(before[-blocks * tarfile.BLOCKSIZE :])) as tar:
                found = tar.next()
        except tarfile.TarError:
            continue
        if (
            found is not None
            and found.offset_data == blocks * tarfile.BLOCKSIZE
            and (normpath(found.name), found.size) == (normpath(member.name), member.size)
        ):
            return
    raise ValueError("the shard was changed after it was indexed: delete the index beside it")
