"""Tables of videos: CSV or Parquet with a path and a label a row, and optionally times and an id."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.video.annotations.records import (
    UNLABELED,
    AnnotationError,
    ClassIndex,
    VideoRecord,
    read_text,
    seconds,
    some,
)

TABLE_SUFFIXES: Final = frozenset({".csv", ".parquet"})


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns.

    Attributes:
        path: Of the video.
        label: Class name or index.
        start: Seconds; optional.
        end: Seconds; optional.
        id: Name in reports; if not given the path, of a part of a video `path@start-end`.
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
        file: `.parquet`, or CSV with a header.
        classes: The label space.
        columns: Names of the columns. If not given, the usual ones, and there may be no others.
        labeled: Whether each row must have a label.

    Raises:
        AnnotationError: If the table is missing or a row is malformed.
    """
    names = columns or Columns()
    rows = _rows(file, names, strict=columns is None, labeled=labeled)
    return some([_record(row, where, classes, names, labeled) for where, row in rows], file)


def table_classes(file: Path, columns: Columns | None = None) -> tuple[str, ...]:
    """The distinct labels of a table, sorted: class names for one's own videos.

    Raises:
        AnnotationError: If a row is malformed, or the labels are numbers, which name nothing.
    """
    names = columns or Columns()
    found: set[str] = set()
    for where, row in _rows(file, names, strict=columns is None, labeled=True):
        label = _text(row.get(names.label))
        if not label or label.isdigit():
            raise AnnotationError(
                f"{where}: the label '{label}' does not name a class. Write class names, or set the data's `labels` to "
                f"a label space whose classes the numbers mean."
            )
        found.add(label)
    if not found:
        raise AnnotationError(f"{file} lists no videos.")
    return tuple(sorted(found))


def _rows(file: Path, columns: Columns, *, strict: bool, labeled: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place in the file and fields of each row.

    Args:
        file: The table.
        columns: Names of the columns.
        strict: Whether there may be no others.
        labeled: Whether there must be one of labels.
    """
    required = (columns.path, columns.label) if labeled else (columns.path,)
    read = _parquet_rows if file.suffix.lower() == ".parquet" else _csv_rows
    return read(file, columns, required, strict)


def _csv_rows(
    file: Path, columns: Columns, required: Sequence[str], strict: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, columns, required, f"{file}:1", strict)
        for row in rows:
            if not row:
                continue
            where = f"{file}:{rows.line_num}"
            if len(row) != len(header):
                raise AnnotationError(
                    f"{where}: {len(row)} fields where the header has {len(header)}. Quote a path that holds a comma."
                )
            yield where, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise AnnotationError(f"{file}:{rows.line_num}: not valid CSV ({error}).") from error


def _parquet_rows(
    file: Path, columns: Columns, required: Sequence[str], strict: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"Reading {file} needs the package pyarrow: pip install 'ost-lightning[tables]', or write the table as CSV."
        ) from error
    if not file.is_file():
        raise AnnotationError(f"The table {file} does not exist. Check the path in the experiment file.")
    try:
        with parquet.ParquetFile(file) as table:
            _check_header(table.schema_arrow.names, columns, required, str(file), strict)
            wanted = [name for name in astuple(columns) if name in table.schema_arrow.names]
            number = 0
            for batch in table.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file}: row {number}", row
    except (arrow.ArrowException, OSError) as error:
        raise AnnotationError(f"{file} is not a readable Parquet table ({error}).") from error


def _check_header(header: list[str], columns: Columns, required: Sequence[str], where: str, strict: bool) -> None:
    expected = astuple(columns)
    if strict and (unknown := [name for name in header if name not in expected]):
        raise AnnotationError(
            f"{where}: unknown column '{unknown[0]}'. Expected a header out of {', '.join(expected)}."
        )
    if missing := [name for name in required if name not in header]:
        goes_without = " (`ost predict` goes without if the data's `labels` name the classes.)"
        more = goes_without if missing[0] == columns.label else ""
        raise AnnotationError(
            f"{where}: the column '{missing[0]}' is missing. Expected a header out of {', '.join(expected)}.{more}"
        )
    if repeated := [name for name in header if header.count(name) > 1]:
        raise AnnotationError(f"{where}: the column '{repeated[0]}' is there twice.")


def _record(row: Mapping[str, Any], where: str, classes: ClassIndex, columns: Columns, labeled: bool) -> VideoRecord:
    path, label = _text(row[columns.path]), _text(row.get(columns.label))
    if not path or (labeled and not label):
        raise AnnotationError(f"{where}: the {columns.label if path else columns.path} is empty.")
    index = classes.either(label, where) if label else UNLABELED
    start, end = (_time(row.get(name), name, where) for name in (columns.start, columns.end))
    if end is not None and end <= (start or 0.0):
        raise AnnotationError(f"{where}: the end ({end:g} s) is not after the start ({start or 0:g} s).")
    return VideoRecord(path, index, _text(row.get(columns.id)) or _id(path, start, end), start, end)


def _id(path: str, start: float | None, end: float | None) -> str:
    """`a.mp4@1.5-4`: the parts of one video have different ids."""
    if start is None and end is None:
        return path
    first, last = ("" if time is None else repr(time).removesuffix(".0") for time in (start or 0.0, end))
    return f"{path}@{first}-{last}"


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _time(value: Any, name: str, where: str) -> float | None:
    return None if not _text(value) else seconds(_text(value), name, where)
