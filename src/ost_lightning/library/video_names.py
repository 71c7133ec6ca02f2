"""Names by which people refer to videos of a library, whose files may be gone."""

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

from ost_lightning.escaping import without_passwords
from ost_lightning.files import unescape_bytes


class VideoNames:
    """Paths, folders, patterns, URLs and names in lists, which are compared with those of a table.

    Args:
        names: Names of videos.
    """

    def __init__(self, names: Iterable[str | Path]) -> None:
        self._names = {str(name): address_text(str(name)) for name in names}
        self._found: set[str] = set()

    def match(self, video: str, video_id: str) -> bool:
        """Returns whether any of the names means a stored video.

        Args:
            video: Address in the table.
            video_id: Name in the table.
        """
        address, name = unescape_bytes(video), unescape_bytes(video_id)
        matching = {
            wanted
            for wanted, path in self._names.items()
            if address == path
            or name == wanted
            or address.startswith(f"{path.rstrip('/')}/")
            or (has_magic(path) and fnmatchcase(address, path))
        }
        self._found |= matching
        return bool(matching)

    def unmatched(self) -> list[str]:
        """Returns the names that have not matched any video yet."""
        return [name for name in self._names if name not in self._found]


def address_text(address: str) -> str:
    """Returns an address as it is stored: an absolute path, or a URL without passwords."""
    return without_passwords(address) if "://" in address else os.path.abspath(address)
