"""Where the videos of a list are: the one place where listed paths become addresses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from ost_lightning.datamodules.base import LabelledVideos
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoAddress, VideoRecord, VideoRoot

VIDEO_SUFFIXES: Final = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
)

Folders = Callable[[VideoRecord], Sequence[str]]
"""Folders below the root where a record's video may be, the likeliest first."""


def locate(
    records: Sequence[VideoRecord],
    root: str,
    labels: LabelSpace,
    folders: Folders | None = None,
    *,
    mirrorable: bool = True,
) -> LabelledVideos:
    """Gives each record the address of its video, without opening any.

    A video is there if, in one of its folders, a file, a shard's member or a folder of frames has its name; the
    extension may be another one than listed, and a folder of frames has none. Behind a URL without an index of shards
    nothing is looked up: there the first folder and the listed name have to be right.

    Args:
        records: Parsed; their paths relative to the root.
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Classes of the records.
        folders: Of each record; the root itself if not given.
        mirrorable: Whether a mirrored video still shows its class.

    Raises:
        UserError: If the root does not exist.
    """
    finder = _Finder(root)
    found: list[VideoRecord] = []
    missing: set[int] = set()
    looked_in = ""
    for place, record in enumerate(records):
        candidates = [str(PurePosixPath(folder) / str(record.path)) for folder in (folders or _here)(record)]
        addresses = map(finder.find, candidates)
        address = next((address for address in addresses if address is not None), None)
        if address is None:
            address = finder.root.locate(candidates[0])
            missing.add(place)
            looked_in = looked_in or f"{', '.join(dict.fromkeys(candidates))} below {root}"
        found.append(replace(record, path=address))
    return LabelledVideos(found, labels, frozenset(missing), looked_in, mirrorable)


def _here(_: VideoRecord) -> tuple[str]:
    return ("",)


class _Finder:
    """Looks names up in listings of folders, each listed once."""

    def __init__(self, root: str) -> None:
        self.root = VideoRoot(root)
        self._stems: dict[str, dict[str, str] | None] = {}

    def find(self, path: str) -> VideoAddress | None:
        """The address of a path below the root, or None if nothing is there."""
        folder, _, name = path.rpartition("/")
        if folder not in self._stems:
            names = self.root.names_in(folder)
            # exact names win over names without their extension, files over folders of frames
            stems = {_stem(name): name for name in sorted(names, reverse=True)} if names is not None else {}
            self._stems[folder] = None if names is None else stems | {name: name for name in names}
        known = self._stems[folder]
        if known is None:
            return self.root.locate(path)
        actual = known.get(name) or known.get(_stem(name))
        return None if actual is None else self.root.locate(f"{folder}/{actual}" if folder else actual)


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name
