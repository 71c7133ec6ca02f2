"""Who is on a list, in any of the forms that lists of videos come in, without looking anything up."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.video.annotations.records import read_text, seconds

TABLE_SUFFIXES: Final = (".csv", ".parquet")
_PATH: Final = "path"
_ID_COLUMNS: Final = ("youtube_id", "id")
_Table = tuple[Sequence[str], Iterator[tuple[str, Mapping[str, Any]]]]
"""Names of the columns; place in the file and fields of each row."""


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One entry of a list, not looked up anywhere.

    Attributes:
        path: As listed: a path or a file name; an id where the list has no paths.
        label: As listed: an index or a name; empty where the list has none.
        start: Seconds from the video's beginning, or None for all of it.
        end: Seconds, or None.
        id: Name in reports, where the list gives one beside the path.
    """

    path: str
    label: str = ""
    start: float | None = None
    end: float | None = None
    id: str = ""


def read_list(file: Path) -> list[ListedVideo]:
    """Reads who is on a list, in any of the forms that lists come in; nothing is looked up or checked.

    `.csv`, `.parquet`: a column `path`, `youtube_id` or `id`, and `label` if there is one. `.json`: objects with an
    `id` (Something-Something), or ActivityNet's `database`. Else a line a video: `path label`, or a path alone.

    Raises:
        UserError: If the file is missing, empty, or none of these.
    """
    return _read(file, (_PATH, *_ID_COLUMNS))


def read_files(file: Path) -> list[ListedVideo]:
    """Reads a list that names files: `path label` lines, or a table with a column `path` and maybe times and ids.

    Raises:
        UserError: If the file is missing, empty, or names no files.
    """
    if file.suffix.lower() == ".json":
        raise UserError(
            f"{file} names no files. Give `path label` lines or a table with a column `path`, or, where a data module "
            "can be given, that (--data CLASS)."
        )
    return _read(file, (_PATH,))


def write_list(videos: Sequence[ListedVideo], file: Path) -> None:
    """Writes a list that data modules read: a table if the file is called `.csv`, `path label` lines otherwise.

    Raises:
        UserError: If the lines can't hold what is known of the videos, or the file is called `.parquet`.
    """
    if file.suffix.lower() == ".csv":
        write_text_atomically(file, _table(videos))
        return
    if file.suffix.lower() in TABLE_SUFFIXES:
        raise UserError(f"{file}: tables are written as CSV. Give a name with .csv.")
    for video in videos:
        if not _fits_a_line(video):
            raise UserError(
                f"{file}: a line `path label` has a number as label, and no times or ids; '{video.path}' has others. "
                "Give a name with .csv, so that a table is written."
            )
    write_text_atomically(file, "".join(f"{video.path} {video.label}".rstrip() + "\n" for video in videos))


def _fits_a_line(video: ListedVideo) -> bool:
    numbered = not video.label or (video.label.isascii() and video.label.isdigit())
    return numbered and not video.id and video.start is None and video.end is None


def _table(videos: Sequence[ListedVideo]) -> str:
    """CSV with the columns that any of the videos needs."""
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
        file: The list.
        columns: Of a table, the likeliest first, that may name the video.
    """
    if not file.is_file():
        raise UserError(f"There is no list {file}.")
    suffix = file.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        videos = _from_table(file, columns)
    else:
        videos = (_from_json if suffix == ".json" else _from_lines)(read_text(file), file)
    if not videos:
        raise UserError(f"{file} lists no videos.")
    return videos


def _from_lines(text: str, file: Path) -> list[ListedVideo]:
    """The label is what follows the last blank, if that is a number: paths may hold blanks."""
    videos = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        path, *label = line.rsplit(maxsplit=1)
        labeled = bool(label) and label[0].isascii() and label[0].isdigit()
        videos.append(ListedVideo(path, label[0]) if labeled else ListedVideo(line))
    return videos


def _from_table(file: Path, naming: Sequence[str]) -> list[ListedVideo]:
    read: Callable[[Path], _Table] = _parquet_table if file.suffix.lower() == ".parquet" else _csv_table
    columns, rows = read(file)
    column = next((name for name in naming if name in columns), None)
    if column is None:
        raise UserError(
            f"{file}:1: none of the columns {', '.join(columns) or '(none)'} names the video. Expected a header with "
            f"{' or '.join(naming)}."
        )
    return [_listed(row, where, column) for where, row in rows]


def _listed(row: Mapping[str, Any], where: str, column: str) -> ListedVideo:
    name, label, start, end, id_ = (_text(row.get(key)) for key in (column, "label", "start", "end", "id"))
    if not name:
        raise UserError(f"{where}: the {column} is empty.")
    if column != _PATH:
        return ListedVideo(name, label)
    first = seconds(start, "start", where) if start else None
    last = seconds(end, "end", where) if end else None
    if last is not None and last <= (first or 0.0):
        raise UserError(f"{where}: the end ({last:g} s) is not after the start ({first or 0:g} s).")
    return ListedVideo(name, label, first, last, id_)


def _csv_table(file: Path) -> _Table:
    rows = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise UserError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error

    def fields() -> Iterator[tuple[str, Mapping[str, Any]]]:
        try:
            for row in rows:
                if row and len(row) != len(header):
                    raise UserError(
                        f"{file}:{rows.line_num}: {len(row)} fields where the header has {len(header)}. Quote a path "
                        "that holds a comma."
                    )
                if row:
                    yield f"{file}:{rows.line_num}", dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise UserError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error

    return header, fields()


def _parquet_table(file: Path) -> _Table:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"Reading {file} needs the package pyarrow: pip install 'ost-lightning[tables]', or write the table as CSV."
        ) from error
    try:
        table = parquet.ParquetFile(file).read()
    except (arrow.ArrowException, OSError) as error:
        raise UserError(f"{file} is not a readable Parquet table ({error}).") from error
    return table.column_names, ((f"{file}: row {place}", row) for place, row in enumerate(table.to_pylist(), start=1))


def _text(value: Any) -> str:
    """Of a field; Parquet's empty numbers are None or not a number."""
    return "" if value is None or value != value else str(value).strip()


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
