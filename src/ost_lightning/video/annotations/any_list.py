"""Entries of video lists in any format, read without a label space and without access to the videos."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, write_text_atomically
from ost_lightning.video.annotations.annotation_files import parse_span, read_text
from ost_lightning.video.annotations.path_lines import read_path_lines
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
        frames: Number of frames to use, in lists `folder frames label`.
        line: Line or row of the list, from 1.
    """

    path: str
    label: str = ""
    start: float | None = None
    end: float | None = None
    id: str = ""
    frames: int | None = None
    line: int = field(default=0, compare=False)


def read_list(file: Path) -> list[ListedVideo]:
    """Reads the entries of a list in any format, without opening the videos or checking the labels.

    Tables (`.csv`, `.parquet`) need a column `path`, `youtube_id` or `id`, and may have a column `label`. `.json` files
    are lists of objects with an `id` (Something-Something), or ActivityNet's annotations. All other files have one line
    per video: `path label`, a path alone, or `folder frames label`.

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
        UserError: If the file is not a table and a line can't hold the times, ids or names of the videos, or if the
            suffix is `.parquet`.
    """
    if file.suffix.lower() == ".csv":
        write_text_atomically(file, _table(videos))
        return
    if file.suffix.lower() in TABLE_SUFFIXES:
        raise UserError(f"{file}: tables are written as CSV. Give a name with .csv.")
    lines = [" ".join(filter(None, (video.path, str(video.frames or ""), video.label))) for video in videos]
    with atomic_write(file) as partial:
        # as bytes of the names themselves, so that other programs find the files
        partial.write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        for video, written in zip(videos, read_path_lines(partial, labeled=False), strict=False):
            if ListedVideo(written.path, written.label, frames=written.frames) != video:
                raise UserError(
                    f"{file}: a line `path label` holds a path and a class only, but {video.path!r} has a name that a "
                    "line can't hold, a class name without a video's suffix before it, times or an id. Give a name "
                    "with .csv to write a table."
                )


def _table(videos: Sequence[ListedVideo]) -> str:
    """Formats CSV with the columns that at least one of the videos needs."""
    optional = [
        name
        for name in ("label", "start", "end", "id")
        if any(getattr(video, name) not in ("", None) for video in videos)
    ]
    if any(video.frames is not None for video in videos):
        raise UserError("A table has no column for the number of frames in a folder. Write lines: a name without .csv.")
    text = io.StringIO(newline="")
    # Python 3.11 only quotes carriage returns that are part of the line end
    line_end = "\r\n" if any("\r" in f"{video.path}{video.label}{video.id}" for video in videos) else "\n"
    rows = CsvWriter(text, lineterminator=line_end, keep_passwords=True)
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
        videos = _from_json(read_text(file), file) if suffix == ".json" else _from_lines(file)
    if not videos:
        raise UserError(f"{file} lists no videos.")
    return videos


def _from_lines(file: Path) -> list[ListedVideo]:
    return [
        ListedVideo(line.path, line.label, frames=line.frames, line=line.number)
        for line in read_path_lines(file, labeled=False)
    ]


def _from_table(file: Path, naming: Sequence[str]) -> list[ListedVideo]:
    table = open_table(file)
    column = next((name for name in naming if name in table.columns), None)
    if column is None:
        raise UserError(
            f"{file}:1: none of the columns {', '.join(table.columns) or '(none)'} names the video. Expected a header "
            f"with {' or '.join(naming)}."
        )
    return [_listed(row, number, table.place(number), column) for number, row in table.rows]


def _listed(row: Mapping[str, Any], number: int, where: str, column: str) -> ListedVideo:
    name, label, start, end, id_ = (field_text(row.get(key)) for key in (column, "label", "start", "end", "id"))
    if not name:
        raise UserError(f"{where}: the {column} is empty.")
    if column != _PATH:
        return ListedVideo(name, label, line=number)
    return ListedVideo(name, label, *parse_span(start, end, where), id_, line=number)


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
