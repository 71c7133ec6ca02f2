"""Tables of videos: CSV or Parquet with a path and a label per row, and optionally times and an id."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ost_lightning.errors import UserError
from ost_lightning.video.annotations.annotation_files import parse_span, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.numbering import check_class_folders
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, VideoRecord
from ost_lightning.video.annotations.table_files import TableFile, field_text, open_table


@dataclass(frozen=True)
class Columns:
    """Column names of a table of videos.

    Attributes:
        path: Name of the column with the video's path.
        label: Name of the column with the class name or index.
        start: Name of the optional column with the start in seconds.
        end: Name of the optional column with the end in seconds.
        id: Name of the optional column with the name in reports. Without it, the name is the path, or `path@start-end`
            for a part of a video.
    """

    path: str = "path"
    label: str = "label"
    start: str = "start"
    end: str = "end"
    id: str = "id"

    def __post_init__(self) -> None:
        if len(set(astuple(self))) < len(fields(self)):
            raise UserError(f"The columns of a table need different names, not {', '.join(astuple(self))}.")


def read_table(
    file: Path, classes: ClassIndex, columns: Columns | None = None, *, labeled: bool = True
) -> list[VideoRecord]:
    """Reads a table of videos.

    Args:
        file: `.parquet` file, or CSV with a header.
        classes: Classes of the label space.
        columns: Column names; None for the default ones, in which case no other columns are allowed.
        labeled: Whether each row must have a label.

    Raises:
        AnnotationError: If the table is missing or a row is malformed.
    """
    names = columns or Columns()
    table = _open(file, names, strict=columns is None, labeled=labeled)
    records = [_record(row, number, table.place(number), classes, names, labeled) for number, row in table.rows]
    check_class_folders(records, classes, file)
    return require_nonempty(records, file)


def table_classes(file: Path, columns: Columns | None = None) -> tuple[str, ...]:
    """Returns the distinct labels of a table, sorted, for use as class names.

    Raises:
        AnnotationError: If a row is malformed, or the labels are numbers instead of names.
    """
    names = columns or Columns()
    found: set[str] = set()
    table = _open(file, names, strict=columns is None, labeled=True)
    for number, row in table.rows:
        label = field_text(row.get(names.label))
        if not label or label.isdigit():
            raise AnnotationError(
                f"{table.place(number)}: the label '{label}' does not name a class. Write class names, or set "
                f"the data's `labels` to the label space that the numbers refer to."
            )
        found.add(label)
    if not found:
        raise AnnotationError(f"{file} lists no videos.")
    return tuple(sorted(found))


def _open(file: Path, columns: Columns, *, strict: bool, labeled: bool) -> TableFile:
    """Opens a table and checks its header.

    Args:
        file: The table.
        columns: Column names.
        strict: Whether other columns are refused.
        labeled: Whether a column of labels is required.
    """
    table, expected = open_table(file, astuple(columns)), astuple(columns)
    if strict and (unknown := [name for name in table.columns if name not in expected]):
        raise AnnotationError(
            f"{table.header}: unknown column '{unknown[0]}'. Possible columns: {', '.join(expected)}."
        )
    required = (columns.path, columns.label) if labeled else (columns.path,)
    if missing := [name for name in required if name not in table.columns]:
        hint = ""
        if missing[0] == columns.label:
            hint = " (`ost predict` does not need it if the data's `labels` name the classes.)"
        raise AnnotationError(
            f"{table.header}: the column '{missing[0]}' is missing. Possible columns: {', '.join(expected)}.{hint}"
        )
    if repeated := [name for name in table.columns if table.columns.count(name) > 1]:
        raise AnnotationError(f"{table.header}: the column '{repeated[0]}' occurs twice.")
    return table


def _record(
    row: Mapping[str, Any], number: int, where: str, classes: ClassIndex, columns: Columns, labeled: bool
) -> VideoRecord:
    path, label, begins, ends, id_ = (field_text(row.get(name)) for name in astuple(columns))
    if not path or (labeled and not label):
        raise AnnotationError(f"{where}: the {columns.label if path else columns.path} is empty.")
    index = classes.either(label, where) if label else UNLABELED
    start, end = parse_span(begins, ends, where, (columns.start, columns.end))
    return VideoRecord(path, index, id_ or default_id(path, start, end), start, end, line=number)


def default_id(path: str, start: float | None, end: float | None) -> str:
    """Returns the id of a video that has none: its path, or `a.mp4@1.5-4` for a part, so that parts differ."""
    if start is None and end is None:
        return path
    first, last = ("" if time is None else repr(time).removesuffix(".0") for time in (start or 0.0, end))
    return f"{path}@{first}-{last}"
