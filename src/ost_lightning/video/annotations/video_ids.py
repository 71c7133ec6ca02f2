"""Ids of videos that do not depend on the list or its format, so that lists can be compared with one another."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Final, Literal

import yaml

from ost_lightning.resources import shipped

IdKind = Literal["video", "file"]
_PART: Final = re.compile(r"(?<=[\w)])@[\d.]+-[\d.]*$")  # a table's name for a part of a video
_SUFFIX: Final = re.compile(r"[A-Za-z]\w{1,4}")
_UNUSUAL: Final = re.compile(r"//|/$|(?:^|/)\.(?:/|$)")  # paths that have a shorter spelling


@dataclass(frozen=True, slots=True)
class _NamePattern:
    """A publisher's way of naming videos: patterns that have to match completely; None for any text."""

    stem: re.Pattern[str] | None
    file: re.Pattern[str] | None
    folder: re.Pattern[str] | None

    def id_in(self, stem: str, file: str, folder: str) -> str | None:
        """Returns the id in a name of this kind, or None if the name is of another kind."""
        match = self.stem.fullmatch(stem) if self.stem else None
        if self.stem and match is None:
            return None
        if self.file and not self.file.fullmatch(file):
            return None
        if self.folder and not self.folder.fullmatch(folder):
            return None
        return match[1] if match and match.re.groups else stem


@cache
def _patterns() -> tuple[_NamePattern, ...]:
    """The patterns in `data/video_names.yaml`."""
    content = yaml.safe_load((shipped("data") / "video_names.yaml").read_text(encoding="utf-8"))
    kinds = [[entry.get(part) for part in ("stem", "file", "folder")] for entry in content]
    return tuple(_NamePattern(*(pattern and re.compile(pattern) for pattern in kind)) for kind in kinds)


def video_id(path: str, kind: IdKind = "video") -> str:
    """Identifies a video.

    A name given by the publisher (`data/video_names.yaml`) identifies a video in any folder. Other names, such as
    `1.mp4`, may occur in the folder of every class, so their id is the path below the root, without the extension. All
    parts of a video (`a.mp4@1.5-4`) have the id of the video.

    Args:
        path: Path below the root, file name or id.
        kind: `file` is the file's stem. `video` is the YouTube id in a name of Kinetics (`id_000012_000022.mp4`) or
            ActivityNet (`v_id.mp4`), so that two clips of one video have one id; the stem of any other published name;
            and the path of a name that is not a publisher's.
    """
    folder, slash, name, stem = _parts(path)
    if kind == "file":
        return stem
    if (found := _id_in_name(folder, name, stem)) is not None:
        return found
    id_ = f"{folder}{slash}{stem}"
    return str(PurePosixPath(id_)) if stem in ("", ".") else id_


def published_id(path: str) -> str | None:
    """Returns the id in a publisher's name, which identifies a video below any root; None for other names.

    Args:
        path: Path below the root, file name or id.
    """
    folder, _, name, stem = _parts(path)
    return _id_in_name(folder, name, stem)


def _parts(path: str) -> tuple[str, str, str, str]:
    """Folder, the slash after it if any, name and stem of a video."""
    if "@" in path:
        path = _PART.sub("", path)
    path = path.replace("\\", "/")
    if _UNUSUAL.search(path):
        path = str(PurePosixPath(path))  # which takes longer than everything else here
    folder, slash, name = path.rpartition("/")
    name = name.strip()
    if name == ".":
        name = ""
    stem, _, suffix = name.rpartition(".")
    if not stem or not _SUFFIX.fullmatch(suffix):
        stem = name
    return folder, slash, name, stem


def _id_in_name(folder: str, name: str, stem: str) -> str | None:
    parent = folder.rpartition("/")[2]
    return next((found for pattern in _patterns() if (found := pattern.id_in(stem, name, parent)) is not None), None)


def id_hash(id_: str) -> int:
    """Hashes an id to a signed 64-bit number, which takes less memory than the id."""
    return int.from_bytes(blake2b(id_.encode(errors="surrogatepass"), digest_size=8).digest(), "big", signed=True)


def list_digest(entries: Iterable[str]) -> str:
    """Hashes a set of videos; their order does not matter.

    Returns:
        16 hexadecimal digits.
    """
    return blake2b("\n".join(sorted(entries)).encode(errors="surrogatepass"), digest_size=8).hexdigest()
