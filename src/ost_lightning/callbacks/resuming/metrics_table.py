"""The table of a run's metrics."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from ost_lightning.errors import UserError


class MetricsTable(CSVLogger):
    """`{folder}/{name}/version_{n}/metrics.csv`, which can go on where a checkpoint was written.

    Args:
        folder: Of all runs.
        name: Of the experiment.
        version: n; the next free one if not given.
        kept_rows: Rows of an existing table to keep; None begins a new one.
    """

    def __init__(self, folder: Path, name: str, version: int | None = None, kept_rows: int | None = None) -> None:
        super().__init__(folder, name=name, version=version)
        self._kept_rows = kept_rows

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What writes the file, in the first process."""
        if self._experiment is None:
            os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = _TableWriter(self.log_dir, self._kept_rows)
        return self._experiment

    def rows(self) -> int:
        """Writes what was logged, and counts the rows; in the first process."""
        self.save()
        count: int = self.experiment.rows
        return count


class _TableWriter(ExperimentWriter):
    def __init__(self, log_dir: str, kept_rows: int | None) -> None:
        self._kept_rows = kept_rows
        self.rows = 0
        super().__init__(log_dir)

    def save(self) -> None:
        new = len(self.metrics)
        try:
            super().save()
        except OSError as error:
            raise UserError(
                f"The metrics can't be written to {self.metrics_file_path}: {error.strerror or error}."
            ) from error
        self.rows += new

    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if self._kept_rows is None or not file.is_file():
            super()._check_log_dir_exists()
            return
        with file.open(newline="") as handle:
            table = csv.DictReader(handle)
            self.metrics_keys = list(table.fieldnames or [])
            rows = [row for row, _ in zip(table, range(self._kept_rows), strict=False)]
        self.rows = len(rows)
        self._replace(rows, self.metrics_keys)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with Path(self.metrics_file_path).open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        self._replace(rows, fieldnames)

    def _replace(self, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        """A process that is killed meanwhile leaves the old table."""
        part = Path(f"{self.metrics_file_path}.part")
        with part.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, fieldnames=columns)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(self.metrics_file_path)
