"""Tracking of runs: their folder, the metrics table, and Weights & Biases."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from wandb.errors import CommError, UsageError

from ost_lightning.callbacks.resuming import CheckpointNotes, MetricsTable, create_folder_of_runs, version_of
from ost_lightning.escaping import without_passwords


@dataclass(frozen=True)
class Tracking:
    """Tracking of runs in `{folder}/{name}/version_{n}`: always as CSV, and in W&B unless switched off.

    Attributes:
        name: Name of the experiment; the file name of the first --config if not given.
        folder: Root folder under which runs are stored.
        wandb: Whether to log to W&B too; offline unless WANDB_API_KEY is set or the run belongs to a sweep.
        project: Name of the W&B project.
    """

    name: str | None = None
    folder: Path = Path("runs")
    wandb: bool = True
    project: str = "ost_lightning"


def experiment_folder(tracking: Tracking, configs: Sequence[object] | None) -> Path:
    """Returns `{folder}/{name}`, the parent folder of the experiment's runs.

    Args:
        tracking: Tracking settings, instantiated or as parsed.
        configs: Files of the --config options.
    """
    return Path(tracking.folder) / (tracking.name or (Path(str(configs[0])).stem if configs else "unnamed"))


def run_loggers(tracking: Tracking, experiment: Path, resumed: Path | None, notes: CheckpointNotes) -> list[Logger]:
    """Returns the loggers of a run: the metrics table, whose folder is the run's folder, then W&B.

    Args:
        tracking: Tracking settings.
        experiment: Folder of the experiment.
        resumed: Checkpoint of the run to resume, whose folder, table and W&B run are continued; None for a new run.
        notes: Notes in the checkpoint of the resumed run.
    """
    table = MetricsTable(
        tracking.folder,
        experiment.name,
        version=version_of(resumed) if resumed else None,
        kept_rows=notes.metrics_rows if resumed else None,
    )
    if not tracking.wandb:
        return [table]
    create_folder_of_runs(experiment)
    make = partial(
        _RunLogger,
        name=f"{experiment.name}/{Path(table.log_dir).name}",
        project=tracking.project,
        save_dir=experiment,
        id=(notes.wandb_id if resumed else None) or secrets.token_hex(4),
    )
    # the agent of a sweep is logged in, and needs the metrics
    online = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_SWEEP_ID")
    return [table, _online_if_possible(make) if online else make(offline=True)]


class _RunLogger(WandbLogger):
    """Logger of W&B that hides passwords in URLs of the command line, which W&B records with a run."""

    @property
    def experiment(self) -> Any:
        """Run of W&B, which starts when it is first needed."""
        original = sys.argv
        sys.argv = [without_passwords(argument) for argument in original]
        try:
            return super().experiment
        finally:
            sys.argv = original  # further processes are launched with it


@contextmanager
def finishing_wandb_run() -> Iterator[None]:
    """Ends the W&B run in any case; otherwise the process's next run would be added to it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def _online_if_possible(make: Callable[..., WandbLogger]) -> WandbLogger:
    """Returns an online logger, or an offline logger if W&B can't be reached, so that the run continues."""
    logger = make(offline=False)
    try:
        _ = logger.experiment
    except (CommError, UsageError) as error:
        rank_zero_warn(
            f"Can't reach W&B ({str(error).splitlines()[0]}): logging offline. Upload the run later with `wandb sync`."
        )
        wandb.teardown()  # the failed attempt still holds the run's id
        return make(offline=True)
    return logger
