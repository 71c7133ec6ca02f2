"""Index of a folder of uncompressed tar shards (the WebDataset layout): the location of every file, scanned once."""

import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from posixpath import normpath
from sys import intern
from typing import IO, Final, NamedTuple, Self

from fsspec.core import url_to_fs

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.resources import cache_folder

INDEX_NAME: Final = "shards.tsv"
"""Name of the index, with one line per shard (`#`, name, bytes) and per member (shard, offset, bytes, name).

Names with tabs, line ends, other control characters or bytes that are not UTF-8 are written as JSON strings.
"""
_NOT_PLAIN: Final = re.compile(r'^"|[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]')


class MemberLocation(NamedTuple):
    """Location of a file inside a shard.

    Attributes:
        shard: Name of the tar file; empty if the root itself is the shard.
        offset: Offset of the file's first byte in the tar file.
        size: Size of the file in bytes.
    """

    shard: str
    offset: int
    size: int


def is_shard(name: str) -> bool:
    """Whether a file of this name is a shard; an unfinished one has a hidden name."""
    return name.endswith(".tar") and not name.startswith(".")


def has_shards(root: str) -> bool:
    """Whether a root is a tar shard, a folder that contains shards, or a URL with an index of shards."""
    if root.endswith(".tar"):
        return True
    if "://" in root:
        files, path = url_to_fs(root)
        return bool(files.exists(f"{path}/{INDEX_NAME}"))
    with os.scandir(root) as entries:
        return any(is_shard(entry.name) for entry in entries)


@dataclass(frozen=True, repr=False)
class ShardIndex:
    """Index of the files in a root's shards.

    Attributes:
        shards: Size of each shard in bytes, by name; the index is valid for exactly these shards.
        members: Location of each file, by its name in the shard.
    """

    shards: Mapping[str, int]
    members: Mapping[str, MemberLocation]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.shards)} shards, {len(self.members)} files)"

    @classmethod
    def of(cls, root: str) -> Self:
        """Reads the index of a root, or builds and saves it.

        Args:
            root: Folder or URL with `.tar` files, or one such file.

        Raises:
            UserError: If a shard can't be read, or two files share a name.
        """
        if "://" in root and not root.endswith(".tar"):
            return cls._parse(_content_at(f"{root}/{INDEX_NAME}"), f"{root}/{INDEX_NAME}")
        sizes = shard_sizes(root)
        in_root = Path(root) / INDEX_NAME
        cached = cache_folder() / "shards" / f"{blake2b(os.fsencode(root), digest_size=8).hexdigest()}.tsv"
        for file in (in_root, cached):
            if file.is_file():
                index = cls._parse(file.read_bytes(), str(file))
                if index.shards == sizes:
                    return index
        index = cls.scan(root, sizes)
        index.save(in_root if Path(root).is_dir() and os.access(root, os.W_OK) else cached)
        return index

    @classmethod
    def scan(cls, root: str, sizes: Mapping[str, int]) -> Self:
        """Builds an index from the members of shards.

        Args:
            root: Folder of the shards, or a single shard.
            sizes: Size of each shard in bytes, by name.

        Raises:
            UserError: If a shard can't be read, or two files share a name.
        """
        members: dict[str, MemberLocation] = {}
        for shard in sizes:
            for name, location in _members(root, shard):
                if name in members:
                    raise UserError(
                        f"{root}: '{name}' is in the shard '{members[name].shard}' and again in '{shard}'. A file "
                        f"must be in one shard only: remove one of them."
                    )
                members[name] = location
        return cls(dict(sizes), members)

    def find(self, path: str) -> MemberLocation | None:
        """Returns the location of a listed path, or None if it is not in a shard."""
        return self.members.get(path) or self.members.get(normpath(path))

    def save(self, file: Path) -> None:
        """Writes the index to a file atomically."""
        lines = [f"#\t{_written(name)}\t{size}\n" for name, size in self.shards.items()]
        lines += [
            f"{_written(location.shard)}\t{location.offset}\t{location.size}\t{_written(name)}\n"
            for name, location in self.members.items()
        ]
        write_text_atomically(file, "".join(lines))

    @classmethod
    def _parse(cls, content: bytes, origin: str) -> Self:
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{origin} is not an index of shards: it is not UTF-8 text ({error.reason} at byte {error.start}). "
                "Delete the file; it will be rebuilt."
            ) from error
        shards: dict[str, int] = {}
        members: dict[str, MemberLocation] = {}
        for number, line in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
            try:
                if line.startswith("#\t"):
                    _, name, size = line.split("\t")
                    shards[intern(_read(name))] = int(size)
                else:
                    shard, offset, size, name = line.split("\t", 3)
                    members[_read(name)] = MemberLocation(intern(_read(shard)), int(offset), int(size))
            except ValueError as error:
                raise UserError(
                    f"{origin}:{number}: not a line of an index of shards. Delete the file; it will be rebuilt."
                ) from error
        return cls(shards, members)


def _written(name: str) -> str:
    return json.dumps(name) if _NOT_PLAIN.search(name) else name


def _read(name: str) -> str:
    return str(json.loads(name)) if name.startswith('"') else name


def shard_sizes(root: str) -> dict[str, int]:
    """Size of each shard in bytes, by name, in alphabetical order."""
    if root.endswith(".tar"):
        files, path = url_to_fs(root)
        return {"": int(files.size(path))}
    with os.scandir(root) as entries:
        return dict(sorted((entry.name, entry.stat().st_size) for entry in entries if is_shard(entry.name)))


def _members(root: str, shard: str) -> Iterable[tuple[str, MemberLocation]]:
    path = f"{root}/{shard}" if shard else root
    try:
        files, inner = url_to_fs(path)
        with files.open(inner, "rb") as handle, open_tar(handle) as tar:
            for member in tar:
                if member.isreg():
                    yield normpath(member.name), MemberLocation(shard, member.offset_data, member.size)
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them in memory
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"{path} can't be read as a tar shard ({error}). Shards are uncompressed .tar files; `ost data shard` "
            f"writes them."
        ) from error


def open_tar(file: IO[bytes]) -> tarfile.TarFile:
    """Opens an uncompressed tar file; names that are not UTF-8 become those that Python has for such files."""
    return tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape")


def _content_at(url: str) -> bytes:
    files, path = url_to_fs(url)
    return bytes(files.cat_file(path))
