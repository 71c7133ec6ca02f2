"""Entries of video lists in any format, read without a label space and without access to the videos."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.video.annotations.annotation_files import parse_span, read_text
from ost_lightning.video.annotations.table_files import TABLE_SUFFIXES, field_text, open_table

_PATH: Final = "path"
_ID_COLUMNS: Final = ("youtube_id", "id")


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One entry of a list, as written in the file.

    Attributes:
        path: Path or file name, or the video's id in lists without paths.
        label: Class index or name; empty in lists without labels.
        start: Start of the part in seconds, or None for the beginning of the video.
        end: End of the part in seconds, or None for the end of the video.
        id: Name in reports, in lists that give one beside the path.
    """

    path: str
    label: str = ""
    start: float | None = None
    end: float | None = None
    id: str = ""


def read_list(file: Path) -> list[ListedVideo]:
    """Reads the entries of a list in any format, without opening the videos or checking the labels.

    Tables (`.csv`, `.parquet`) need a column `path`, `youtube_id` or `id`, and may have a column `label`. `.json` files
    are lists of objects with an `id` (Something-Something), or ActivityNet's annotations. All other files have one line
    per video: `path label`, or a path alone.

    Raises:
        UserError: If the file is missing, empty, or in another format.
    """
    return _read(file, (_PATH, *_ID_COLUMNS))


def read_files(file: Path) -> list[ListedVideo]:
    """Reads a list that names files: `path label` lines, or a table with a column `path` and optionally times and ids.

    Raises:
        UserError: If the file is missing, empty, or names no files.
    """
    if file.suffix.lower() == ".json":
        raise UserError(
            f"{file} names no files. Use `path label` lines, a table with a column `path` or, for commands that accept "
            "it, a data module (--data CLASS)."
        )
    return _read(file, (_PATH,))


def write_list(videos: Sequence[ListedVideo], file: Path) -> None:
    """Writes a list that data modules can read: a table if the suffix is `.csv`, `path label` lines otherwise.

    Raises:
        UserError: If the videos have times or ids and the file is not a table, or the suffix is `.parquet`.
    """
    if file.suffix.lower() == ".csv":
        write_text_atomically(file, _table(videos))
        return
    if file.suffix.lower() in TABLE_SUFFIXES:
        raise UserError(f"{file}: tables are written as CSV. Give a name with .csv.")
    for video in videos:
        if not _fits_on_a_line(video):
            raise UserError(
                f"{file}: a line `path label` holds a path and a class number only, but '{video.path}' has a class "
                "name, times or an id. Give a name with .csv to write a table."
            )
    write_text_atomically(file, "".join(f"{video.path} {video.label}".rstrip() + "\n" for video in videos))


def _fits_on_a_line(video: ListedVideo) -> bool:
    numbered = not video.label or (video.label.isascii() and video.label.isdigit())
    return numbered and not video.id and video.start is None and video.end is None


def _table(videos: Sequence[ListedVideo]) -> str:
    """Formats CSV with the columns that at least one of the videos needs."""
    optional = [
        name
        for name in ("label", "start", "end", "id")
        if any(getattr(video, name) not in ("", None) for video in videos)
    ]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([_PATH, *optional])
    rows.writerows([video.path, *(getattr(video, name) for name in optional)] for video in videos)
    return text.getvalue()


def _read(file: Path, columns: Sequence[str]) -> list[ListedVideo]:
    """Reads a list.

    Args:
        file: File with the list.
        columns: Columns of a table that may name the video, most likely one first.
    """
    if not file.is_file():
        raise UserError(f"The list {file} does not exist.")
    suffix = file.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        videos = _from_table(file, columns)
    else:
        videos = (_from_json if suffix == ".json" else _from_lines)(read_text(file), file)
    if not videos:
        raise UserError(f"{file} lists no videos.")
    return videos


def _from_lines(text: str, file: Path) -> list[ListedVideo]:
    """Parses lines; a number after the last blank is the label, since paths may contain blanks."""
    videos = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        path, *label = line.rsplit(maxsplit=1)
        labeled = bool(label) and label[0].isascii() and label[0].isdigit()
        videos.append(ListedVideo(path, label[0]) if labeled else ListedVideo(line))
    return videos


def _from_table(file: Path, naming: Sequence[str]) -> list[ListedVideo]:
    table = open_table(file)
    column = next((name for name in naming if name in table.columns), None)
    if column is None:
        raise UserError(
            f"{file}:1: none of the columns {', '.join(table.columns) or '(none)'} names the video. Expected a header "
            f"with {' or '.join(naming)}."
        )
    return [_listed(row, where, column) for where, row in table.rows]


def _listed(row: Mapping[str, Any], where: str, column: str) -> ListedVideo:
    name, label, start, end, id_ = (field_text(row.get(key)) for key in (column, "label", "start", "end", "id"))
    if not name:
        raise UserError(f"{where}: the {column} is empty.")
    if column != _PATH:
        return ListedVideo(name, label)
    return ListedVideo(name, label, *parse_span(start, end, where), id_)


def _from_json(text: str, file: Path) -> list[ListedVideo]:
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    if isinstance(content, dict) and isinstance(content.get("database"), dict):
        return [ListedVideo(id_) for id_ in content["database"]]
    if not isinstance(content, list) or not all(isinstance(entry, dict) and "id" in entry for entry in content):
        raise UserError(
            f"{file} is neither a list of objects with an `id` (Something-Something) nor an object with a `database` "
            "(ActivityNet)."
        )
    return [ListedVideo(str(entry["id"]), str(entry.get("label", ""))) for entry in content]
