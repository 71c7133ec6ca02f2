"""Rows of table files, CSV or Parquet, each with its place in the file."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.video.annotations.annotation_files import read_text
from ost_lightning.video.annotations.records import AnnotationError

TABLE_SUFFIXES: Final = frozenset({".csv", ".parquet"})
"""Suffixes of the files that are read as tables."""


@dataclass(frozen=True)
class TableFile:
    """Content of a table file.

    Attributes:
        columns: Names of the columns.
        header: Place of the header, for error messages.
        rows: Place and fields of each row; can be iterated once.
    """

    columns: list[str]
    header: str
    rows: Iterator[tuple[str, Mapping[str, Any]]]


def open_table(file: Path, wanted: Collection[str] | None = None) -> TableFile:
    """Opens a table.

    Args:
        file: `.parquet` file, or CSV with a header.
        wanted: Columns to read if they exist, which saves time with Parquet; None for all.

    Raises:
        AnnotationError: If the table is missing or malformed; malformed rows are reported when they are reached.
        UserError: If the package for Parquet is not installed.
    """
    return _open_parquet(file, wanted) if file.suffix.lower() == ".parquet" else _open_csv(file)


def field_text(value: Any) -> str:
    """Text of a field; empty for the missing values of Parquet, None and NaN."""
    return "" if value is None or value != value else str(value).strip()


def _open_csv(file: Path) -> TableFile:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise AnnotationError(f"{file}:{reader.line_num}: not valid CSV ({error}).") from error

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        try:
            for row in reader:
                if not row:
                    continue
                where = f"{file}:{reader.line_num}"
                if len(row) != len(header):
                    raise AnnotationError(
                        f"{where}: {len(row)} fields where the header has {len(header)}. Put quotes around "
                        f"paths that contain commas."
                    )
                yield where, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise AnnotationError(f"{file}:{reader.line_num}: not valid CSV ({error}).") from error

    return TableFile(header, f"{file}:1", rows())


def _open_parquet(file: Path, wanted: Collection[str] | None) -> TableFile:
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
        columns: list[str] = parquet.read_schema(file).names
    except (arrow.ArrowException, OSError) as error:
        raise AnnotationError(f"{file} is not a readable Parquet table ({error}).") from error
    chosen = None if wanted is None else [name for name in columns if name in wanted]

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        number = 0
        try:
            with parquet.ParquetFile(file) as table:
                for batch in table.iter_batches(columns=chosen):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{file}: row {number}", row
        except (arrow.ArrowException, OSError) as error:
            raise AnnotationError(f"{file} is not a readable Parquet table ({error}).") from error

    return TableFile(columns, str(file), rows())
