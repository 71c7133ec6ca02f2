"""Rows of table files, CSV or Parquet, each with its place in the file."""

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ost_lightning.errors import UserError
from ost_lightning.escaping import csv_text
from ost_lightning.files import unescape_bytes
from ost_lightning.video.annotations.annotation_files import read_names
from ost_lightning.video.annotations.records import AnnotationError

if TYPE_CHECKING:
    from pyarrow import RecordBatch

TABLE_SUFFIXES: Final = frozenset({".csv", ".parquet"})
"""Suffixes of the files that are read as tables."""


@dataclass(frozen=True)
class TableFile:
    """Content of a table file.

    Attributes:
        columns: Names of the columns.
        header: Place of the header, for error messages.
        row_place: Place of a row without its number.
        rows: Number and fields of each row; can be iterated once.
    """

    columns: list[str]
    header: str
    row_place: str
    rows: Iterator[tuple[int, Mapping[str, Any]]]

    def place(self, number: int) -> str:
        """Place of a row, for error messages."""
        return f"{self.row_place}{number}"


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
    """Text of a field; empty for the missing values of Parquet, None and NaN.

    Bytes are the name of a file. Whole numbers have no decimals: pandas turns a column of labels with gaps into floats.
    """
    if isinstance(value, bytes):
        return unescape_bytes(os.fsdecode(value))
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return unescape_bytes(str(value).strip())


def _open_csv(file: Path) -> TableFile:
    reader = csv.reader(io.StringIO(read_names(file), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise AnnotationError(f"{file}:{reader.line_num}: not valid CSV ({error}).") from error

    def rows() -> Iterator[tuple[int, Mapping[str, Any]]]:
        try:
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise AnnotationError(
                        f"{file}:{reader.line_num}: {len(row)} fields where the header has {len(header)}. Put "
                        f"quotes around paths that contain commas."
                    )
                yield reader.line_num, dict(zip(header, map(csv_text, row), strict=True))
        except csv.Error as error:
            raise AnnotationError(f"{file}:{reader.line_num}: not valid CSV ({error}).") from error

    return TableFile(header, f"{file}:1", f"{file}:", rows())


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

    def rows() -> Iterator[tuple[int, Mapping[str, Any]]]:
        number = 0
        try:
            with parquet.ParquetFile(file) as table:
                for batch in table.iter_batches(columns=chosen):
                    for row in _rows(batch):
                        number += 1
                        yield number, row
        except (arrow.ArrowException, OSError) as error:
            raise AnnotationError(f"{file} is not a readable Parquet table ({error}).") from error

    return TableFile(columns, str(file), f"{file}: row ", rows())


def _rows(batch: "RecordBatch") -> list[dict[str, Any]]:
    """Rows of a batch; text that is not UTF-8 as bytes, because it can name a file."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        from pyarrow import binary, large_binary, types

        as_bytes = {types.is_string: binary(), types.is_large_string: large_binary()}
        columns = []
        for column in batch.columns:
            kind = next((kind for is_text, kind in as_bytes.items() if is_text(column.type)), column.type)
            columns.append(column.cast(kind).to_pylist())
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
