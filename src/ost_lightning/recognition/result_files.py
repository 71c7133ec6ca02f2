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
LEVEL: Final = "none_below"
"""Condition with which rows say whether a video shows none of the classes."""
_EVIDENCE: Final = ("sentence", "kind", "cosine", "second")
_NESTED: Final = frozenset({"classes", "top", "evidence", "label_set", "background_p_value"})
"""Parts of a row that are not columns of a CSV file, or that follow the classes."""


class ResultFile:
    """A file of results that is written while videos are being recognized; use it in a `with` statement.

    Args:
        file: File to write; its suffix is one of `FORMATS`.
        conditions: What the results depend on, one column each; see `Recognizer.conditions`.
        top: Number of classes per video.
        alpha: Risk of the label sets of a calibrated recognizer, between 0 and 1.

    Attributes:
        done: Videos that an interrupted run has recognized, and that this run may skip.

    Raises:
        UserError: If the suffix is unknown, or the interrupted run had other conditions.
    """

    def __init__(self, file: Path, conditions: Mapping[str, str], top: int, alpha: float = 0.1) -> None:
        check_format(file)
        self._file, self._conditions, self._top, self._alpha = file, dict(conditions), top, alpha
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
        row = result_row(result, self._conditions, self._top, self._alpha)
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


def result_row(
    result: Recognition | Unreadable, conditions: Mapping[str, str], top: int, alpha: float
) -> dict[str, Any]:
    """Returns what a file says about one video.

    Args:
        result: Result of the video.
        conditions: What the result depends on.
        top: Number of classes.
        alpha: Risk of the label set of a calibrated recognizer.
    """
    row: dict[str, Any] = {"video": result.video, "error": "", "classes": [], **conditions, "top": top}
    row |= {"evidence": None, "label_set": None, "background_p_value": None}
    if LEVEL in conditions:
        row["none_of_these"] = None if isinstance(result, Unreadable) else result.none_of_these
    if isinstance(result, Unreadable):
        return row | {"error": result.reason}
    if match := result.evidence:
        row["evidence"] = {name: getattr(match, name) for name in _EVIDENCE}
    if result.p_values:
        row |= {"label_set": list(result.label_set(alpha)), "background_p_value": result.background_p_value}
    return row | {"classes": result.top(top)}


def csv_columns(row: Row, top: int) -> list[str]:
    """Returns the columns of a CSV file.

    Args:
        row: Any row of the file.
        top: Number of classes per video.
    """
    ranked = [column for k in range(1, top + 1) for column in (f"class_{k}", f"probability_{k}")]
    return [*(name for name in row if name not in _NESTED), *ranked, *_EVIDENCE, "label_set", "background_p_value"]


def csv_fields(row: Row, top: int) -> list[object]:
    """Returns the cells of a row, one for each of `csv_columns`."""
    ranked = [field for name, share in row["classes"] for field in (name, f"{share:.4f}")]
    match, chosen = row.get("evidence") or {}, row.get("label_set")
    plausible = row.get("background_p_value")
    return [
        *(row[name] for name in row if name not in _NESTED),
        *ranked,
        *[""] * (2 * top - len(ranked)),
        *(_shown(match.get(name)) for name in _EVIDENCE),
        "" if chosen is None else "; ".join(chosen) or "none of these",
        _shown(plausible),
    ]


def _shown(value: object) -> object:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else value


def _write_csv(file: Path, rows: Sequence[Row], top: int) -> None:
    with open_csv(file) as handle:
        writer = CsvWriter(handle)
        writer.writerow(csv_columns(rows[0] if rows else {"video": "", "error": ""}, top))
        writer.writerows(csv_fields(row, top) for row in rows)


def _write_json(file: Path, rows: Sequence[Row], top: int) -> None:
    file.write_text(json.dumps([as_object(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _write_json_lines(file: Path, rows: Sequence[Row], top: int) -> None:
    file.write_text("".join(f"{json.dumps(as_object(row))}\n" for row in rows), encoding="utf-8")


def _write_parquet(file: Path, rows: Sequence[Row], top: int) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("Parquet files require pyarrow: pip install 'ost-lightning[tables]'") from error
    # Parquet's strings are UTF-8, which the names of some files are not
    objects = [as_object({**row, "video": row["video"].encode(errors=ESCAPE_BYTES).decode()}) for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(objects), file)


def as_object(row: Row) -> dict[str, Any]:
    """Returns a row as it is written to JSON."""
    kept = {name: value for name, value in row.items() if name not in ("classes", "top")}
    return {**kept, "classes": [{"name": name, "probability": share} for name, share in row["classes"]]}


FORMATS: Final[dict[str, Callable[[Path, Sequence[Row], int], None]]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
"""Writers by suffix."""
