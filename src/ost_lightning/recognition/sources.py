"""Finds the videos that a person names: files, folders, patterns, URLs and lists on standard input."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fsspec.core import url_to_fs

from ost_lightning.errors import UserError
from ost_lightning.video.decoding import PICTURE_SUFFIXES
from ost_lightning.video.storage import VIDEO_SUFFIXES, is_remote, transfer_errors

STANDARD_INPUT: Final = "-"
_NUMBER: Final = re.compile(r"(\d+)")


def find_videos(sources: Iterable[str | Path]) -> Iterator[str]:
    """Yields the path or URL of each video once, in the order of the sources.

    Videos of a folder or pattern are in natural order (clip 2 before clip 10). Folders are searched with their
    subfolders; a folder of pictures without any video is one video, given as frames.

    Args:
        sources: Files, folders, patterns (`*`, `?`, `[...]`, and `**` for any number of folders), URLs, or `-` for
            lines on standard input, each of which is a file or URL. A file is taken as a video, whatever its suffix.

    Raises:
        UserError: If a folder or pattern contains no video, or a URL can't be listed.
    """
    seen = set()
    for source in sources:
        for video in _videos_of(str(source)):
            if video not in seen:
                seen.add(video)
                yield video


def require_a_source(sources: Sequence[str | Path]) -> None:
    """Checks, before a model is loaded, that a video may be found: files that are missing among others are left out.

    Args:
        sources: Files, folders, patterns, URLs, or `-` for a list on standard input.

    Raises:
        UserError: If all sources are files or folders that don't exist.
    """
    if sources and all(_is_missing(str(source)) for source in sources):
        raise UserError(
            f"There is no file or folder {sources[0]}{' (nor any of the others)' if len(sources) > 1 else ''}: name "
            "videos, folders, patterns or URLs that exist."
        )


def _is_missing(source: str) -> bool:
    if source == STANDARD_INPUT or is_remote(source) or glob.has_magic(source):
        return False
    return not os.path.lexists(source)


def _videos_of(source: str) -> Iterable[str]:
    if source == STANDARD_INPUT:
        return (line.rstrip("\r\n") for line in sys.stdin if line.strip())
    if is_remote(source):
        return _matching_urls(source) if glob.has_magic(source) else [source]
    if os.path.isdir(source):
        return _in_folder(source)
    if not os.path.exists(source) and glob.has_magic(source):
        return _matching_files(source)
    return [source]


def _in_folder(folder: str) -> list[str]:
    videos: list[str] = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted((name for name in subfolders if name[0] != "."), key=_natural)
        visible = sorted((name for name in names if name[0] != "."), key=_natural)
        found = [os.path.join(parent, name) for name in visible if _suffix(name) in VIDEO_SUFFIXES]
        if not found and any(_suffix(name) in PICTURE_SUFFIXES for name in visible):
            found = [parent]
        videos += found
    if not videos:
        raise UserError(
            f"The folder {folder} contains no videos: expected files such as .mp4, .mkv or .avi, or folders of "
            "pictures, there or in its subfolders."
        )
    return videos


def _matching_files(pattern: str) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True), key=_natural)
    videos = [path for path in matches if os.path.isdir(path) or _suffix(path) in VIDEO_SUFFIXES]
    found = [video for path in videos for video in (_in_folder(path) if os.path.isdir(path) else [path])]
    if not found:
        raise UserError(f"No video matches the pattern {pattern}: {len(matches)} other files match.")
    return found


def _matching_urls(pattern: str) -> list[str]:
    try:
        system, path = url_to_fs(pattern)
        matches = sorted((str(match) for match in system.glob(path)), key=_natural)
    except transfer_errors() as error:
        raise UserError(f"The pattern {pattern} can't be listed ({error}): name the videos one by one.") from error
    visible = [match for match in matches if not match.rpartition("/")[2].startswith(".")]
    found = [system.unstrip_protocol(match) for match in visible if _suffix(match) in VIDEO_SUFFIXES]
    if not found:
        raise UserError(f"No video matches the pattern {pattern}: {len(matches)} other files match.")
    return found


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in _NUMBER.split(name)]
