"""The metrics table of a run: adapter to Lightning's CSV logger, overriding private methods of its writer."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from ost_lightning.callbacks.private_names import private
from ost_lightning.callbacks.resuming.run_lock import create_run_folder
from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write


class MetricsTable(CSVLogger):
    """Logger that writes `{folder}/{name}/version_{n}/metrics.csv` and can continue it from a checkpoint's row.

    Args:
        folder: Root folder under which runs are stored.
        name: Name of the experiment.
        version: Number n of the run; the next free number, with a folder of its own, if not given.
        kept_rows: Number of rows to keep of an existing table; None starts a new table.
    """

    def __init__(self, folder: Path, name: str, version: int | None = None, kept_rows: int | None = None) -> None:
        super().__init__(folder, name=name, version=version)
        self._kept_rows = kept_rows

    @property
    def version(self) -> int | str:
        """Number of the run. The first process creates the folder of a new run when it first asks for the number."""
        if self._version is None:
            self._version = create_run_folder(Path(self.root_dir))
        return super().version

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Writer of the file; exists in the first process only."""
        if private(self, "_experiment") is None:
            create_folder_of_runs(Path(self.root_dir))
            self._experiment = _TableWriter(self.log_dir, self._kept_rows)
        return self._experiment

    def rows(self) -> int:
        """Writes the metrics logged so far, and returns the number of rows; to be called in the first process only."""
        self.save()
        count: int = self.experiment.rows
        return count


def create_folder_of_runs(folder: Path) -> None:
    """Creates the folder of an experiment's runs.

    Args:
        folder: Folder below `tracking.folder`.

    Raises:
        UserError: If it can't be created, for example because a part of its path is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_creatable(folder, error.strerror or str(error)) from error


def check_folder_of_runs(folder: Path) -> None:
    """Checks that the folder of an experiment's runs can be created and written, without creating it.

    Args:
        folder: Folder below `tracking.folder`.

    Raises:
        UserError: If a part of its path is a file, or can't be written.
    """
    path = folder.absolute()
    existing = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not existing.is_dir():
        raise _not_creatable(folder, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_creatable(folder, f"{existing} can't be written")


def _not_creatable(folder: Path, reason: str) -> UserError:
    return UserError(
        f"Can't create the folder of the run, {folder}: {reason}. Set tracking.folder to a folder that can be written."
    )


class _TableWriter(ExperimentWriter):
    """Lightning's CSV writer with two private methods overridden; `__init__` fails if Lightning lacks them."""

    def __init__(self, log_dir: str, kept_rows: int | None) -> None:
        for name in ("_check_log_dir_exists", "_rewrite_with_new_header"):
            private(ExperimentWriter, name)
        self._kept_rows = kept_rows
        self.rows = 0
        super().__init__(log_dir)

    def save(self) -> None:
        new = len(self.metrics)
        try:
            super().save()
        except OSError as error:
            raise UserError(f"Can't write metrics to {self.metrics_file_path}: {error.strerror or error}.") from error
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
        """Rewrites the table atomically: if the process is killed meanwhile, the old table remains."""
        with atomic_write(Path(self.metrics_file_path)) as partial, partial.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, fieldnames=columns)
            writer.writeheader()
            writer.writerows(rows)
