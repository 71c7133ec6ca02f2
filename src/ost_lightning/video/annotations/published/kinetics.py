"""Annotations of Kinetics-400 and -600 as published: CSV of label, YouTube id, first and last second, and part."""

import csv
import io
import re
from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.annotation_files import read_text, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import AnnotationError, VideoRecord

REQUIRED: Final = ("label", "youtube_id", "time_start", "time_end")
_OPTIONAL: Final = frozenset({"split", "is_cc"})
_ID: Final = re.compile(r"[A-Za-z0-9_-]{11}").fullmatch


def read_kinetics(file: Path, classes: ClassIndex) -> list[VideoRecord]:
    """Reads one of the publisher's CSV files.

    Args:
        file: CSV with the columns label, youtube_id, time_start, time_end and optionally split and is_cc.
        classes: All classes of the data set.

    Returns:
        Records with the file names of the common copies, `id_000012_000022.mp4`: first and last second with six digits.

    Raises:
        AnnotationError: If the file is missing, or a row is malformed.
    """
    rows = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    records: list[VideoRecord] = []
    try:
        header = next(rows, [])
        _check(header, file)
        label_at, id_at, start_at, end_at = (header.index(name) for name in REQUIRED)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise AnnotationError(
                    f"{file}:{rows.line_num}: {len(row)} fields where the header has {len(header)}: '{','.join(row)}'."
                )
            label = classes.index_of.get(row[label_at])
            if label is None:
                label = classes.named(row[label_at], f"{file}:{rows.line_num}")
            youtube, start, end = row[id_at], _second(row[start_at]), _second(row[end_at])
            if _ID(youtube) is None:
                raise AnnotationError(f"{file}:{rows.line_num}: '{youtube}' is not a YouTube id of 11 characters.")
            if start is None or end is None or end <= start:
                raise AnnotationError(
                    f"{file}:{rows.line_num}: '{row[start_at]}' to '{row[end_at]}' is not a part of a video. Expected "
                    f"whole seconds, the end after the start."
                )
            name = f"{youtube}_{start:06d}_{end:06d}"
            records.append(VideoRecord(f"{name}.mp4", label, name))
    except csv.Error as error:
        raise AnnotationError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error
    return require_nonempty(records, file)


def _check(header: list[str], file: Path) -> None:
    unknown = [name for name in header if name not in REQUIRED and name not in _OPTIONAL]
    if unknown or len(set(header)) < len(header) or not set(REQUIRED) <= set(header):
        raise AnnotationError(
            f"{file}:1: '{','.join(header)}' is not the header of a Kinetics file. Expected "
            f"{','.join(REQUIRED)},split (the test file was first published without labels)."
        )


def _second(text: str) -> int | None:
    """Parses a whole number of seconds, also written as `12.0`; None if it is not one."""
    digits = text.removesuffix(".0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 7 else None
