"""Lists of videos with labels: the `path label` text format of the field, and CSV.

Every malformed line is an error that names the file and the line; no line is ever dropped or given a guessed label.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.video.sources import VideoAddress, VideoRoot

CSV_COLUMNS: Final = ("path", "label", "start", "end", "id")


class AnnotationError(UserError):
    """A list of videos can't be used as it is."""


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One labelled video or part of one.

    Attributes:
        path: The file, frame folder, shard member or URL; see `VideoRoot`.
        label: Class index, from 0.
        id: Name in reports; unique within its list by convention.
        start: Seconds from the video's beginning, or None for all of it.
        end: Seconds, or None.
    """

    path: VideoAddress
    label: int
    id: str
    start: float | None = None
    end: float | None = None


def read_records(list_file: Path, root: Path | str, class_names: Sequence[str]) -> list[VideoRecord]:
    """Reads a list of videos: CSV if the file is called `.csv`, `path label` lines otherwise.

    Args:
        list_file: The list.
        root: What its paths are relative to: a folder of videos, frame folders or tar shards, or a URL.
        class_names: The label space; a label is an index into it or, in CSV, one of its names.

    Raises:
        AnnotationError: If the list or the folder is missing, or a line is malformed.
    """
    if not list_file.is_file():
        raise AnnotationError(f"The list of videos {list_file} does not exist. Check the path in the experiment file.")
    try:
        videos = VideoRoot(root)
    except UserError as error:
        raise AnnotationError(f"{error} (for the list {list_file})") from error
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{list_file} is not UTF-8 text ({error.reason} at byte {error.start}). A list of videos is plain text."
        ) from error
    parse = _parse_csv if list_file.suffix.lower() == ".csv" else _parse_path_label
    records = parse(text, list_file, videos, class_names)
    if not records:
        raise AnnotationError(f"{list_file} lists no videos.")
    return records


def _parse_path_label(text: str, list_file: Path, videos: VideoRoot, class_names: Sequence[str]) -> list[VideoRecord]:
    """`path label` a line; the label is what follows the last blank, so that paths may hold blanks."""
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        parts = line.strip().rsplit(maxsplit=1)
        if len(parts) < 2:
            raise AnnotationError(
                f"{list_file}:{number}: '{line.strip()}' has no label. Expected `path label`, for example "
                f"`clips/a.mp4 17`."
            )
        path, label = parts
        where = f"{list_file}:{number}"
        if not (label.isascii() and label.isdigit()):
            raise AnnotationError(
                f"{where}: the label '{label}' is not a class index. Expected `path label` with a label from 0 to "
                f"{len(class_names) - 1}."
            )
        records.append(VideoRecord(videos.locate(path), _checked_index(int(label), class_names, where), path))
    return records


def _parse_csv(text: str, list_file: Path, videos: VideoRoot, class_names: Sequence[str]) -> list[VideoRecord]:
    """CSV with a header: `path` and `label`, and optionally `start`, `end` (seconds) and `id`."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if unknown := [name for name in header if name not in CSV_COLUMNS]:
            raise AnnotationError(
                f"{list_file}:1: unknown column '{unknown[0]}'. Expected a header out of {', '.join(CSV_COLUMNS)}."
            )
        if missing := [name for name in ("path", "label") if name not in header]:
            raise AnnotationError(
                f"{list_file}:1: the column '{missing[0]}' is missing. Expected a header out of "
                f"{', '.join(CSV_COLUMNS)}."
            )
        index_of = {name: index for index, name in enumerate(class_names)}
        records = []
        for row in rows:
            if not row:
                continue
            where = f"{list_file}:{rows.line_num}"
            if len(row) != len(header):
                raise AnnotationError(
                    f"{where}: {len(row)} fields where the header has {len(header)}. Quote a path that holds a comma."
                )
            fields = dict(zip(header, (field.strip() for field in row), strict=True))
            records.append(_csv_record(fields, videos, class_names, index_of, where))
    except csv.Error as error:
        raise AnnotationError(f"{list_file}:{rows.line_num}: not valid CSV ({error}).") from error
    return records


def _csv_record(
    fields: dict[str, str], videos: VideoRoot, class_names: Sequence[str], index_of: dict[str, int], where: str
) -> VideoRecord:
    path, label = fields["path"], fields["label"]
    if not path or not label:
        raise AnnotationError(f"{where}: the {'path' if not path else 'label'} is empty.")
    if label in index_of:
        index = index_of[label]
    elif label.isascii() and label.isdigit():
        index = _checked_index(int(label), class_names, where)
    else:
        raise AnnotationError(
            f"{where}: the label '{label}' is neither a class name of the label space nor an index from 0 to "
            f"{len(class_names) - 1}."
        )
    start, end = (_seconds(fields.get(name, ""), name, where) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise AnnotationError(f"{where}: the end ({end:g} s) is not after the start ({start or 0:g} s).")
    return VideoRecord(videos.locate(path), index, fields.get("id") or path, start, end)


def _checked_index(index: int, class_names: Sequence[str], where: str) -> int:
    if index >= len(class_names):
        raise AnnotationError(
            f"{where}: the label {index} is outside the label space, which has {len(class_names)} classes (0 to "
            f"{len(class_names) - 1}). "
            "Check that the list and the label space belong together."
        )
    return index


def _seconds(text: str, name: str, where: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError as error:
        raise AnnotationError(f"{where}: the {name} '{text}' is not a number of seconds.") from error
    if not math.isfinite(seconds) or seconds < 0:
        raise AnnotationError(f"{where}: the {name} '{text}' is not a time within a video.")
    return seconds
