"""Claims by which several processes, also on several machines, share out videos without a server."""

import errno
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FILE: Final = "claims"
_WRITERS: Final = 1 << 62
"""Byte that every writer has locked together with the others, beyond those of the videos."""


class Claims:
    """Locks of single videos, as bytes of one file; use it in a `with` statement.

    The system releases the locks of a process that dies, on any machine. On file systems without locks, every claim
    succeeds, and `shared` is False.

    Args:
        folder: Folder of the file.

    Attributes:
        shared: Whether other processes respect the claims.

    Warns:
        UserWarning: If the file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self.shared = fcntl is not None
        self._held: set[str] = set()

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        if self.shared:
            # several hold it at once; it waits for a process that needs to be alone
            self._lock(fcntl.LOCK_SH, _WRITERS)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        os.close(self._descriptor)  # which releases all locks
        self._held.clear()

    def take(self, key: str) -> bool:
        """Claims a video, and returns whether it was free.

        Args:
            key: Key of the video, hexadecimal.
        """
        if self.shared and not self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, _place(key)):
            return False
        self._held.add(key)
        return True

    def release(self, keys: Iterable[str]) -> None:
        """Releases claims of this process."""
        for key in self._held.intersection(keys):
            if self.shared:
                self._lock(fcntl.LOCK_UN, _place(key))
            self._held.discard(key)

    def alone(self) -> bool:
        """Returns whether no other process has claims open; if so, others wait until the block ends."""
        return self.shared and self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, _WRITERS)

    def _lock(self, kind: int, place: int) -> bool:
        try:
            # a lock of the process, not of the descriptor, and of one byte, which need not exist
            fcntl.lockf(self._descriptor, kind, 1, place)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            self.shared = False
            warnings.warn(
                f"The file system can't lock {self._file} ({error.strerror}): processes that index the same videos at "
                "the same time may store some of them twice. Start one after the other, or use --devices.",
                stacklevel=3,
            )
        return True


def _place(key: str) -> int:
    return int(key, 16) % _WRITERS
