"""Atomic writing of files and folders: they appear complete, or not at all."""

import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TextIO

ESCAPE_BYTES: Final = "backslashreplace"
"""Error handler for text files that contain names of files.

Python keeps each byte of a name that is not UTF-8 as one of the characters \\udc80 to \\udcff (`os.fsdecode`), which
text can't contain. They are written as these escapes: `caf\\udce9.mp4`. JSON reads them as they are meant;
`unescape_bytes` does so for other text.
"""
_ESCAPED_BYTE: Final = re.compile(r"\\u(dc[89a-f][0-9a-f])")


@contextmanager
def atomic_write(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside a file or folder, and renames it into place if the block succeeds.

    If the block raises, everything it wrote is deleted, and an existing file is unchanged. Several processes may write
    the same file at once: the last one to finish wins, and readers never see a mixture.

    Args:
        target: File or folder to write; parent folders are created. An existing file is replaced, a folder is not.
        durable: Whether to flush a file to the disk before renaming it, and its name afterwards, so that it survives a
            power failure.

    Yields:
        Path that does not exist yet, in the same folder and with the same suffix.

    Raises:
        FileExistsError: If the block created a folder and the target exists.
        OSError: If the disk is full or the folder can't be written; it names the target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_temporary_name(target, secrets.token_hex(6)))
    try:
        yield temporary
        if temporary.is_dir():
            if target.exists():
                raise FileExistsError(f"{target} already exists")
        elif durable:
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        temporary.replace(target)
        if durable:
            sync_folder(target.parent)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(target)  # the system doesn't say which file it couldn't write to
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text_atomically(file: Path, text: str) -> None:
    """Writes a text file in UTF-8 atomically, so that readers never see a half-written file.

    Bytes of file names that are not UTF-8 are escaped; see `ESCAPE_BYTES`.

    Args:
        file: File to write; parent folders are created, and an existing file is replaced.
        text: Complete content of the file.
    """
    with atomic_write(file) as temporary:
        temporary.write_bytes(text.encode(errors=ESCAPE_BYTES))


def open_csv(file: Path, mode: Literal["w", "a"] = "w") -> TextIO:
    """Opens a file for `csv.writer`: UTF-8, with the escapes of `ESCAPE_BYTES`."""
    return file.open(mode, newline="", encoding="utf-8", errors=ESCAPE_BYTES)


def is_utf8(name: str) -> bool:
    """Whether the name of a file is text, without bytes that are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unescape_bytes(text: str) -> str:
    """Undoes the escapes of `ESCAPE_BYTES`, so that a name is again that of the file."""
    if "\\udc" not in text:
        return text
    return _ESCAPED_BYTE.sub(lambda escape: chr(int(escape[1], 16)), text)


def remove_interrupted_writes(target: Path) -> None:
    """Deletes the temporary files that killed processes left beside a file.

    Args:
        target: File that no other process is writing at the same time.
    """
    name = _temporary_name(Path(glob.escape(target.name)), "*")
    for leftover in target.parent.glob(name):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's directory entries to the disk, on systems that support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _temporary_name(target: Path, token: str) -> str:
    return f".{target.stem}-{token}.partial{target.suffix}"
