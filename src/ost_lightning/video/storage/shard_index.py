"""Which file is where in a folder of uncompressed tar shards (the WebDataset layout), found out once."""

import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from posixpath import normpath
from sys import intern
from typing import Final, NamedTuple, Self

from fsspec.core import url_to_fs

from ost_lightning.errors import UserError
from ost_lightning.resources import cache_folder

INDEX_NAME: Final = "shards.tsv"
"""One line a shard (`#`, name, bytes), one a member (shard, offset, bytes, name)."""


class Place(NamedTuple):
    """Where a file is.

    Attributes:
        shard: Name of the tar file; empty where the root itself is the shard.
        offset: Of its first byte.
        size: Bytes.
    """

    shard: str
    offset: int
    size: int


def has_shards(root: str) -> bool:
    """Whether a root holds tar shards: it is one, there are some in the folder, or a URL has an index of some."""
    if root.endswith(".tar"):
        return True
    if "://" in root:
        files, path = url_to_fs(root)
        return bool(files.exists(f"{path}/{INDEX_NAME}"))
    with os.scandir(root) as entries:
        return any(entry.name.endswith(".tar") for entry in entries)


@dataclass(frozen=True)
class ShardIndex:
    """The files of a root's shards.

    Attributes:
        shards: Bytes of each shard, by name; the index belongs to exactly these.
        places: Where each file is, by its name in the shard.
    """

    shards: Mapping[str, int]
    places: Mapping[str, Place]

    @classmethod
    def of(cls, root: str) -> Self:
        """Reads the index of a root, or builds and keeps it.

        Args:
            root: Folder or URL with `.tar` files, or one such file.

        Raises:
            UserError: If a shard can't be read, or two files share a name.
        """
        if "://" in root and not root.endswith(".tar"):
            return cls._parse(_text_at(f"{root}/{INDEX_NAME}"), f"{root}/{INDEX_NAME}")
        sizes = shard_sizes(root)
        beside = Path(root) / INDEX_NAME
        kept = cache_folder() / "shards" / f"{blake2b(root.encode(), digest_size=8).hexdigest()}.tsv"
        for file in (beside, kept):
            if file.is_file():
                index = cls._parse(file.read_text(encoding="utf-8"), str(file))
                if index.shards == sizes:
                    return index
        index = cls.scan(root, sizes)
        index.save(beside if Path(root).is_dir() and os.access(root, os.W_OK) else kept)
        return index

    @classmethod
    def scan(cls, root: str, sizes: Mapping[str, int]) -> Self:
        """Lists the members of shards.

        Args:
            root: Their folder, or the one shard.
            sizes: Bytes of each shard, by name.
        """
        places: dict[str, Place] = {}
        for shard in sizes:
            for name, place in _members(root, shard):
                if name in places:
                    raise UserError(
                        f"{root}: '{name}' is in the shard '{places[name].shard}' and again in '{shard}'. A file "
                        f"must be in one shard only: remove one of them."
                    )
                places[name] = place
        return cls(dict(sizes), places)

    def find(self, path: str) -> Place | None:
        """Where a list's path is, if it is in a shard."""
        return self.places.get(path) or self.places.get(normpath(path))

    def save(self, file: Path) -> None:
        """Writes the index, complete or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"#\t{name}\t{size}\n" for name, size in self.shards.items()]
        lines += [f"{place.shard}\t{place.offset}\t{place.size}\t{name}\n" for name, place in self.places.items()]
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(file)

    @classmethod
    def _parse(cls, text: str, origin: str) -> Self:
        shards: dict[str, int] = {}
        places: dict[str, Place] = {}
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            try:
                if line.startswith("#\t"):
                    _, name, size = line.split("\t")
                    shards[intern(name)] = int(size)
                else:
                    shard, offset, size, name = line.split("\t", 3)
                    places[name] = Place(intern(shard), int(offset), int(size))
            except ValueError as error:
                raise UserError(
                    f"{origin}:{number}: not a line of an index of shards. Delete the file; it is made anew."
                ) from error
        return cls(shards, places)


def shard_sizes(root: str) -> dict[str, int]:
    """Bytes of each shard by name, in alphabetical order."""
    if root.endswith(".tar"):
        files, path = url_to_fs(root)
        return {"": int(files.size(path))}
    with os.scandir(root) as entries:
        return dict(sorted((entry.name, entry.stat().st_size) for entry in entries if entry.name.endswith(".tar")))


def _members(root: str, shard: str) -> Iterable[tuple[str, Place]]:
    path = f"{root}/{shard}" if shard else root
    try:
        files, inner = url_to_fs(path)
        with files.open(inner, "rb") as handle, tarfile.open(fileobj=handle, mode="r:") as tar:
            for member in tar:
                if member.isreg() and "\n" not in member.name:  # no list could name it
                    yield normpath(member.name), Place(shard, member.offset_data, member.size)
                tar.members.clear()  # type: ignore[attr-defined]  # all of them would be kept
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"{path} can't be read as a tar shard ({error}). Shards are uncompressed .tar files; `ost data shard` "
            f"writes them."
        ) from error


def _text_at(url: str) -> str:
    files, path = url_to_fs(url)
    return bytes(files.cat_file(path)).decode()
