"""Files and folders that appear under their name complete, or not at all."""

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a temporary path beside a file or folder, and renames it into place if the block succeeds.

    If the block raises, whatever it wrote is deleted and an earlier file stays as it was. Several processes may write
    the same file at once: the last one to finish wins, and nobody reads a mixture.

    Args:
        target: File or folder; folders above it are made. A file replaces an earlier one, a folder does not.
        durable: Flush a file to the disk before it is renamed, and its name afterwards, so that it survives a power
            failure.

    Yields:
        Path that does not exist yet, in the same folder and with the same suffix.

    Raises:
        FileExistsError: If the block made a folder and the target exists.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_temporary_name(target, secrets.token_hex(6)))
    try:
        yield temporary
        if temporary.is_dir():
            if target.exists():
                raise FileExistsError(f"{target} exists already")
        elif durable:
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        temporary.replace(target)
        if durable:
            sync_folder(target.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text_atomically(file: Path, text: str) -> None:
    """Writes a text in UTF-8, so that nobody ever sees a half-written file.

    Args:
        file: Folders above it are made; an earlier file is replaced.
        text: The whole content.
    """
    with atomic_write(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_interrupted_writes(target: Path) -> None:
    """Deletes the temporary files that killed processes left beside a file.

    Args:
        target: File that no other process is writing.
    """
    name = _temporary_name(Path(glob.escape(target.name)), "*")
    for left in target.parent.glob(name):
        left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes the names of a folder's files to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _temporary_name(target: Path, token: str) -> str:
    return f".{target.stem}-{token}.partial{target.suffix}"
