"""Videos in folders, without a list."""

import os
from collections.abc import Iterator
from pathlib import Path

from ost_lightning.video.decoding.frame_folder import CODECS
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES


def videos_below(folder: Path, skipped: list[str]) -> Iterator[str]:
    """Yields the videos at any depth of a folder, in order; a folder of pictures alone is a video, too.

    Hidden files and folders are ignored.

    Args:
        folder: Folder to search.
        skipped: List to which the paths of other files are added.

    Yields:
        Paths below the folder, with `/`.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(place, folder).replace(os.sep, "/")
        shown = sorted(name for name in files if not name.startswith("."))
        if inside != "." and not folders and shown and all(Path(name).suffix.lower() in CODECS for name in shown):
            yield inside
            continue
        for name in shown:
            path = name if inside == "." else f"{inside}/{name}"
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield path
            else:
                skipped.append(path)
