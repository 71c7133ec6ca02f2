"""Files with the results of a stream, written as they come: CSV or JSON lines."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, TextIO

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.recognition.live.watching import LiveRecognition
from ost_lightning.recognition.recognition import Unreadable
from ost_lightning.recognition.result_files import as_object, csv_columns, csv_fields, result_row
from ost_lightning.recognition.timelines.timeline import Gap

_FORMATS: Final = (".csv", ".jsonl")
_UNKNOWN: Final = {"clock": "", "latency": None, "dropped": None, "skipped": None}


class LiveFile:
    """A file to which results of a stream are appended, each on the disk at once; use it in a `with` statement.

    A file that exists is continued, so that one file may hold many days. Each row has its clock time, and names what
    the result depends on.

    Args:
        file: File to write, .csv or .jsonl.
        conditions: What the results depend on; see `Recognizer.conditions`.
        top: Number of classes per window.
        alpha: Risk of the label sets of a calibrated recognizer, between 0 and 1.

    Attributes:
        path: File to write.

    Raises:
        UserError: If the suffix is another one, or the file has other columns.
    """

    def __init__(self, file: Path, conditions: Mapping[str, str], top: int, alpha: float = 0.1) -> None:
        check_live_format(file)
        self.path, self._conditions, self._top, self._alpha = file, dict(conditions), top, alpha
        self._is_csv = file.suffix.lower() == ".csv"
        self._columns = csv_columns(self._row(Gap(0.0, 0.0, ""), ""), top)
        if self._is_csv and file.exists() and file.stat().st_size:
            with file.open(newline="", encoding="utf-8") as existing:
                if next(csv.reader(existing), []) != self._columns:
                    raise UserError(
                        f"{file} has other columns than the results of this stream: choose another output, or the "
                        "options (--top, --calibration) that it was begun with."
                    )
        self._handle: TextIO

    def __enter__(self) -> Self:
        """Opens the file, without the half line that a killed process may have left."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as existing:
            size = existing.seek(0, 2)
            existing.seek(0)
            existing.truncate(existing.read(size).rfind(b"\n") + 1)
            is_new = not existing.tell() or not existing.seek(0, 2)
        self._handle = self.path.open("a", newline="", encoding="utf-8")
        if self._is_csv and is_new:
            CsvWriter(self._handle).writerow(self._columns)
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self._handle.close()

    def add(self, result: LiveRecognition | Gap, video: str) -> None:
        """Adds one result, which is on the disk when the call returns.

        Args:
            result: Result of a window, or a gap.
            video: Name of the stream, without passwords.
        """
        row = self._row(result, video)
        if self._is_csv:
            CsvWriter(self._handle).writerow(csv_fields(row, self._top))
        else:
            self._handle.write(f"{json.dumps(as_object(row))}\n")
        self._handle.flush()

    def _row(self, result: LiveRecognition | Gap, video: str) -> dict[str, Any]:
        when: dict[str, Any] = {"start": round(result.start, 3), "end": round(result.end, 3)}
        if isinstance(result, Gap):
            when |= _UNKNOWN
            row = result_row(Unreadable(video, result.reason), self._conditions, self._top, self._alpha)
        else:
            clock = result.clock.isoformat(timespec="milliseconds")
            when |= {"clock": clock, "latency": round(result.latency, 3)}
            when |= {"dropped": result.dropped, "skipped": result.skipped}
            row = result_row(result.recognition, self._conditions, self._top, self._alpha)
        return {"video": row.pop("video"), **{name: when[name] for name in ("start", "end", *_UNKNOWN)}, **row}


def check_live_format(file: Path) -> None:
    """Checks that results can be appended to a file.

    Raises:
        UserError: If its suffix is not .csv or .jsonl.
    """
    if file.suffix.lower() not in _FORMATS:
        raise UserError(f"The output {file} can't be written as a stream runs: choose one of {', '.join(_FORMATS)}.")
