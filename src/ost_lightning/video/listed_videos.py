"""Who is on a list, in any of the forms that lists of videos come in, without looking anything up."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError

_ID_COLUMNS: Final = ("youtube_id", "id", "path")


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One entry of a list, not looked up anywhere.

    Attributes:
        path: As listed: a path, a file name or an id.
        label: As listed: an index or a name; empty where the list has none.
    """

    path: str
    label: str = ""


def read_list(file: Path) -> list[ListedVideo]:
    """Reads who is on a list, in any of the forms that lists come in; nothing is looked up or checked.

    `.csv`: a column `youtube_id`, `id` or `path`, and `label` if there is one. `.json`: objects with an `id`
    (Something-Something), or ActivityNet's `database`. Else a line a video: `path label`, or a path alone.

    Raises:
        UserError: If the file is missing, empty, or none of these.
    """
    if not file.is_file():
        raise UserError(f"There is no list {file}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    read = {".csv": _from_csv, ".json": _from_json}.get(file.suffix.lower(), _from_lines)
    videos = read(text, file)
    if not videos:
        raise UserError(f"{file} lists no videos.")
    return videos


def _from_lines(text: str, file: Path) -> list[ListedVideo]:
    """The label is what follows the last blank, if that is a number: paths may hold blanks."""
    videos = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        path, *label = line.rsplit(maxsplit=1)
        labelled = bool(label) and label[0].isascii() and label[0].isdigit()
        videos.append(ListedVideo(path, label[0]) if labelled else ListedVideo(line))
    return videos


def _from_csv(text: str, file: Path) -> list[ListedVideo]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = rows.fieldnames or []
    column = next((name for name in _ID_COLUMNS if name in columns), None)
    if column is None:
        raise UserError(
            f"{file}:1: none of the columns {', '.join(columns) or '(none)'} names the video. Expected a header with "
            f"{', '.join(_ID_COLUMNS[:-1])} or {_ID_COLUMNS[-1]}."
        )
    videos = []
    try:
        for row in rows:
            if not (row[column] or "").strip():
                raise UserError(f"{file}:{rows.line_num}: the {column} is empty.")
            videos.append(ListedVideo(row[column].strip(), (row.get("label") or "").strip()))
    except csv.Error as error:
        raise UserError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error
    return videos


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
