"""Runs on disk: checkpoint files, the metrics table, and the search for a run to resume."""

from ost_lightning.callbacks.resuming.checkpoint_files import (
    AtomicCheckpointIO,
    CheckpointNotes,
    best_checkpoint,
    read_notes,
    refuse_code,
)
from ost_lightning.callbacks.resuming.metrics_table import MetricsTable, check_folder_of_runs, create_folder_of_runs
from ost_lightning.callbacks.resuming.run_lock import lock_run
from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT, last_checkpoint, version_of

__all__ = [
    "CONFIG_IN_CHECKPOINT",
    "AtomicCheckpointIO",
    "CheckpointNotes",
    "MetricsTable",
    "best_checkpoint",
    "check_folder_of_runs",
    "create_folder_of_runs",
    "last_checkpoint",
    "lock_run",
    "read_notes",
    "refuse_code",
    "version_of",
]
