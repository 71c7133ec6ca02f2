"""Runs on disk: checkpoint files, the table of metrics, and finding a run to resume."""

from ost_lightning.callbacks.resuming.checkpoint_files import (
    CONFIG_IN_CHECKPOINT,
    AtomicCheckpointIO,
    CheckpointNotes,
    best_checkpoint,
    read_notes,
)
from ost_lightning.callbacks.resuming.metrics_table import MetricsTable
from ost_lightning.callbacks.resuming.run_folders import last_checkpoint, version_of

__all__ = [
    "CONFIG_IN_CHECKPOINT",
    "AtomicCheckpointIO",
    "CheckpointNotes",
    "MetricsTable",
    "best_checkpoint",
    "last_checkpoint",
    "read_notes",
    "version_of",
]
