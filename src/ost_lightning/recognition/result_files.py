"""Files with the recognized classes of many videos: CSV, JSON, JSON lines or Parquet, written so that runs can resume.

Results are first appended to a journal beside the file, which a later run continues. The journal becomes the file when
all videos are done.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TextIO

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import ESCAPE_BYTES, atomic_write, open_csv
from ost_lightning.recognition.recognition import Recognition, Unreadable

Row = Mapping[str, Any]


class ResultFile:
    """A file of results that is written while videos are being recognized; use it in a `with` statement.

    Args:
        file: File to write; its suffix is one of `FORMATS`.
        conditions: What the results depend on, one column each; see `Recognizer.conditions`.
        top: Number of classes per video.

    Attributes:
        done: Videos that an interrupted run has recognized, and that this run may skip.

    Raises:
        UserError: If the suffix is unknown, or the interrupted run had other conditions.
    """

    def __init__(self, file: Path, conditions: Mapping[str, str], top: int) -> None:
        check_format(file)
        self._file, self._conditions, self._top = file, dict(conditions), top
        self._journal = file.with_name(f"{file.name}.unfinished")
        self._handle: TextIO
        self._rows = self._interrupted_rows()
        self.done = frozenset(row["video"] for row in self._rows if not row["error"])
        # unreadable videos are tried again
        self._rows = [row for row in self._rows if row["video"] in self.done]

    def __enter__(self) -> Self:
        """Begins the journal, with the rows of an interrupted run."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = self._journal.open("w", encoding="utf-8")
        for row in self._rows:
            self._append(row)
        return self

    def add(self, result: Recognition | Unreadable) -> None:
        """Adds the result of one video, which is on the disk when the call returns."""
        row = self._row(result)
        self._rows.append(row)
        self._append(row)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Writes the file, or keeps the journal if an exception ends the block."""
        self._handle.close()
        if kind is None:
            with atomic_write(self._file) as temporary:
                FORMATS[self._file.suffix.lower()](temporary, self._rows, self._top)
            self._journal.unlink()

    def _append(self, row: Row) -> None:
        self._handle.write(f"{json.dumps(row)}\n")
        self._handle.flush()

    def _row(self, result: Recognition | Unreadable) -> Row:
        error = result.reason if isinstance(result, Unreadable) else ""
        classes = [] if isinstance(result, Unreadable) else result.top(self._top)
        return {"video": result.video, "error": error, "classes": classes, **self._conditions, "top": self._top}

    def _interrupted_rows(self) -> list[Row]:
        if not self._journal.exists():
            return []
        rows = []
        for line in self._journal.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):  # a killed process may have left half a line
                rows.append(json.loads(line))
        expected = {**self._conditions, "top": self._top}
        for row in rows:
            differing = [name for name, value in expected.items() if row.get(name) != value]
            if differing:
                raise UserError(
                    f"{self._journal} is of an interrupted run with other conditions ({', '.join(differing)}): repeat "
                    "that run's command to finish it, delete the file, or choose another output."
                )
        return rows


def check_format(file: Path) -> None:
    """Checks that a file's suffix is one of `FORMATS`.

    Raises:
        UserError: If it is not.
    """
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"The output {file} has an unknown suffix: choose one of {', '.join(FORMATS)}.")


def _write_csv(file: Path, rows: Sequence[Row], top: int) -> None:
    columns = [name for name in rows[0] if name not in ("classes", "top")] if rows else ["video", "error"]
    ranked = [column for k in range(1, top + 1) for column in (f"class_{k}", f"probability_{k}")]
    with open_csv(file) as handle:
        writer = CsvWriter(handle)
        writer.writerow([*columns, *ranked])
        for row in rows:
            fields = [field for name, share in row["classes"] for field in (name, f"{share:.4f}")]
            padding = [""] * (len(ranked) - len(fields))
            writer.writerow([*(row[name] for name in columns), *fields, *padding])


def _write_json(file: Path, rows: Sequence[Row], top: int) -> None:
    file.write_text(json.dumps([_as_object(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _write_json_lines(file: Path, rows: Sequence[Row], top: int) -> None:
    file.write_text("".join(f"{json.dumps(_as_object(row))}\n" for row in rows), encoding="utf-8")


def _write_parquet(file: Path, rows: Sequence[Row], top: int) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("Parquet files require pyarrow: pip install 'ost-lightning[tables]'") from error
    # Parquet's strings are UTF-8, which the names of some files are not
    objects = [_as_object({**row, "video": row["video"].encode(errors=ESCAPE_BYTES).decode()}) for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(objects), file)


def _as_object(row: Row) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in ("classes", "top")}
    return {**kept, "classes": [{"name": name, "probability": share} for name, share in row["classes"]]}


FORMATS: Final[dict[str, Callable[[Path, Sequence[Row], int], None]]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
"""Writers by suffix."""
