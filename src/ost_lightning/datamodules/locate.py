"""Resolves the paths of a list to video addresses; the only module that does."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED, VideoAddress, VideoRecord, VideoRoot
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES

Folders = Callable[[VideoRecord], Sequence[str]]
"""Function from a record to the folders below the root that may contain its video, most likely first."""


def locate(
    records: Sequence[VideoRecord],
    root: str,
    labels: LabelSpace,
    folders: Folders | None = None,
    *,
    mirrorable: bool = True,
    source: str = "",
    contradictions: bool = False,
) -> LabeledVideos:
    """Resolves each record to the address of its video, without opening any.

    A video exists if one of its folders contains a file, a shard member or a folder of frames with its name. The file
    extension may differ from the listed one; a folder of frames has none. For a URL without a shard index nothing is
    looked up: the video has to be in the first folder, under the listed name.

    Args:
        records: Records with paths relative to the root.
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Label space of the records.
        folders: Function from a record to its folders; the root itself if not given.
        mirrorable: Whether a mirrored video still shows its class.
        source: List of the records, for messages.
        contradictions: Whether one video may have two labels, as in some publishers' files.

    Raises:
        UserError: If the root does not exist, or a video has two labels.
    """
    finder = Finder(root)
    found: list[VideoRecord] = []
    missing: set[int] = set()
    tried_paths = ""
    for index, record in enumerate(records):
        below = (folders or _root_only)(record)
        candidates = [_join(folder, str(record.path)) for folder in below]
        address = finder.first(candidates)
        if address is None and record.frames is not None:
            # the number before the label may be part of the path
            name = f"{record.path} {record.frames}"
            if (address := finder.first([_join(folder, name) for folder in below])) is not None:
                record = replace(record, id=name, frames=None)
        if address is None:
            address = finder.root.locate(candidates[0])
            missing.add(index)
            tried_paths = tried_paths or without_passwords(f"{', '.join(dict.fromkeys(candidates))} below {root}")
        found.append(replace(record, path=address))
    repeats = _repeats(found, missing, finder.root)
    videos = LabeledVideos(found, labels, frozenset(missing), tried_paths, mirrorable, source, repeats)
    if not contradictions:
        _check_labels(videos)
    return videos


def _repeats(records: Sequence[VideoRecord], missing: Collection[int], root: VideoRoot) -> tuple[tuple[int, int], ...]:
    """Returns the indices of the first and of each further record of the same part of the same video."""
    first_of: dict[tuple[str, float, float | None], int] = {}
    repeats = []
    for index, record in enumerate(records):
        if index not in missing:
            part = (root.identity(record.path), record.start or 0.0, record.end)
            first = first_of.setdefault(part, index)
            if first != index:
                repeats.append((first, index))
    return tuple(repeats)


def _check_labels(videos: LabeledVideos) -> None:
    """Raises if one video has two labels."""
    records, names = videos.records, videos.labels.names
    for first, again in videos.repeats:
        one, other = records[first].label, records[again].label
        if one != other:
            known = [f"{label} '{names[label]}'" if label != UNLABELED else "none" for label in (one, other)]
            raise UserError(
                f"{videos.place(first)} ({records[first].id}) and {videos.place(again)} ({records[again].id}) are the "
                f"same video with two labels, {known[0]} and {known[1]}. Remove the wrong one."
            )


def _root_only(_: VideoRecord) -> tuple[str]:
    return ("",)


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder and not path.startswith("/") and "://" not in path else path


class Finder:
    """Looks up names in folder listings, and lists each folder once.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.

    Raises:
        UserError: If the root does not exist.
    """

    def __init__(self, root: str) -> None:
        self.root = VideoRoot(root)
        self._listings: dict[str, tuple[frozenset[str], dict[str, str]] | None] = {}

    def address(self, path: str) -> VideoAddress:
        """Returns the address of a path below the root; that of the listed name if nothing is found."""
        found = self.find(path)
        return self.root.locate(path) if found is None else found

    def first(self, paths: Iterable[str]) -> VideoAddress | None:
        """Returns the address of the first of some paths below the root at which something is found."""
        return next((address for path in paths if (address := self.find(path)) is not None), None)

    def find(self, path: str) -> VideoAddress | None:
        """Returns the address of a path below the root, or None if nothing is found."""
        if "://" in path:
            return self.root.locate(path)
        folder, _, name = path.rpartition("/")
        folder = folder or ("/" if path.startswith("/") else "")
        if folder not in self._listings:
            self._listings[folder] = _listing(self.root.names_in(folder))
        known = self._listings[folder]
        if known is None:
            return self.root.locate(path)
        names, by_stem = known
        actual = name if name in names else by_stem.get(_stem(name))
        return None if actual is None else self.root.locate(path.removesuffix(name) + actual)


def _listing(names: frozenset[str] | None) -> tuple[frozenset[str], dict[str, str]] | None:
    """Returns all names, and one name per stem; files take precedence over folders."""
    if names is None:
        return None
    by_stem: dict[str, str] = {}
    for name in sorted(names):
        stem = _stem(name)
        if by_stem.get(stem, stem) == stem:
            by_stem[stem] = name
    return names, by_stem


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name
