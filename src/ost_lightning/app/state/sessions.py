"""All sessions of an app: each has its own state, and its uploads are deleted with it."""

import shutil
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Final

from ost_lightning.app.state.models import Models
from ost_lightning.app.state.session import Session

MAX_SESSIONS: Final = 50
"""Sessions that are kept; the one that was used least recently is closed for another."""


class Sessions:
    """Sessions by the random names that browsers get.

    Args:
        models: Weights that are offered.
        max_upload: Largest size of a video in bytes.
        uploads: Folder in which uploads are; nothing outside of it is deleted.
    """

    def __init__(self, models: Models, max_upload: int, uploads: Path) -> None:
        self._models, self._max_upload, self._uploads = models, max_upload, uploads.resolve()
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._videos: dict[str, set[Path]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._open)

    def of(self, name: str) -> Session:
        """Returns the session of a browser; a new one if it has none."""
        with self._lock:
            session = self._open.get(name)
            if session is None:
                session = self._open[name] = Session(self._models, self._max_upload)
                self._videos[name] = set()
            self._open.move_to_end(name)
            stale = [next(iter(self._open))] if len(self._open) > MAX_SESSIONS else []
        for other in stale:
            self.close(other)
        return session

    def uploaded(self, name: str, video: Path) -> None:
        """Notes that a session has uploaded a file, which is deleted with it."""
        self.of(name)
        with self._lock:
            self._videos[name].add(video.resolve())

    def close(self, name: str) -> None:
        """Forgets a session, and deletes its uploads unless another one has uploaded the same file."""
        with self._lock:
            self._open.pop(name, None)
            gone = self._videos.pop(name, set()).difference(*self._videos.values())
        for video in gone:
            # each upload has a folder of its own, named after its content
            if video.is_relative_to(self._uploads) and video.parent != self._uploads:
                shutil.rmtree(video.parent, ignore_errors=True)
