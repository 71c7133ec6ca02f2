"""Reading of annotation files, with the checks that all formats share."""

import codecs
import json
import math
from pathlib import Path
from typing import Any

from ost_lightning.files import unescape_bytes
from ost_lightning.video.annotations.records import AnnotationError, Span, VideoRecord


def read_text(file: Path) -> str:
    """Reads the text of an annotation file.

    Raises:
        AnnotationError: If the file is missing or not UTF-8.
    """
    if not file.is_file():
        raise AnnotationError(f"The list of videos {file} does not exist. Check the path in the experiment file.")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}). Save the list as UTF-8."
        ) from error


def read_names(file: Path) -> str:
    """Reads the text of a file that names files, with its own line ends.

    Bytes that are not UTF-8 are kept as in `os.fsdecode`, because the names of files may not be UTF-8 either; escapes
    of such bytes, as this package writes them, are undone.

    Raises:
        AnnotationError: If the file is missing or not text in an encoding that extends ASCII.
    """
    if not file.is_file():
        raise AnnotationError(f"The list of videos {file} does not exist. Check the path in the experiment file.")
    data = file.read_bytes()
    if b"\0" in data:
        found = "UTF-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "a zero byte"
        raise AnnotationError(f"{file} is not UTF-8 text (it contains {found}). Save the list as UTF-8.")
    return unescape_bytes(data.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape"))


def read_lines(file: Path) -> list[str]:
    """Reads the lines of a file that names files; see `read_names`.

    Raises:
        AnnotationError: If the file is missing or not text in an encoding that extends ASCII.
    """
    return read_names(file).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_json(file: Path) -> Any:
    """Reads the JSON value of an annotation file.

    Raises:
        AnnotationError: If the file is missing or not JSON.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    except RecursionError as error:
        raise AnnotationError(f"{file}: not an annotation file (nested too deeply).") from error


def require_nonempty(records: list[VideoRecord], file: Path) -> list[VideoRecord]:
    """Returns the records of a file.

    Raises:
        AnnotationError: If the list is empty.
    """
    if not records:
        raise AnnotationError(f"{file} lists no videos.")
    return records


def parse_seconds(value: Any, name: str, where: str) -> float:
    """Parses a time within a video.

    Args:
        value: Number or text.
        name: Name of the field, for error messages.
        where: Place in the file, for error messages.

    Raises:
        AnnotationError: If the value is not a finite, non-negative number.
    """
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: the {name} '{value}' is not a number of seconds.") from error
    if not math.isfinite(number) or number < 0:
        raise AnnotationError(f"{where}: the {name} '{value}' is not a time within a video (0 s or later).")
    return number


def parse_span(start: str, end: str, where: str, names: tuple[str, str] = ("start", "end")) -> Span:
    """Parses the start and end of a part of a video.

    Args:
        start: Seconds, or empty for the beginning of the video.
        end: Seconds, or empty for the end of the video.
        where: Place in the file, for error messages.
        names: Names of the two fields, for error messages.

    Raises:
        AnnotationError: If a time is not a number, or the end is not after the start.
    """
    first = parse_seconds(start, names[0], where) if start else None
    last = parse_seconds(end, names[1], where) if end else None
    if last is not None and last <= (first or 0.0):
        raise AnnotationError(f"{where}: the end ({last:g} s) is not after the start ({first or 0:g} s).")
    return first, last
