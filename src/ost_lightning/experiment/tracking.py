"""Where runs are recorded: their folder, the table of metrics, and Weights & Biases."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from wandb.errors import CommError, UsageError

from ost_lightning.callbacks.resuming import CheckpointNotes, MetricsTable, version_of


@dataclass(frozen=True)
class Tracking:
    """Where runs are recorded: `{folder}/{name}/version_{n}`, always as CSV, and in W&B unless switched off.

    Attributes:
        name: Name of the experiment; the file name of the first --config if not given.
        folder: Root folder under which runs are stored.
        wandb: Log to W&B too; offline unless WANDB_API_KEY is set or an agent runs this as part of a sweep.
        project: W&B project.
    """

    name: str | None = None
    folder: Path = Path("runs")
    wandb: bool = True
    project: str = "ost_lightning"


def experiment_folder(tracking: Tracking, configs: Sequence[object] | None) -> Path:
    """`{folder}/{name}`, below which every run has a folder.

    Args:
        tracking: `Tracking`, or the parser's view of it.
        configs: The files given with --config.
    """
    return Path(tracking.folder) / (tracking.name or (Path(str(configs[0])).stem if configs else "unnamed"))


def run_loggers(tracking: Tracking, experiment: Path, resumed: Path | None, notes: CheckpointNotes) -> list[Logger]:
    """The loggers of a run: the table of metrics first, whose folder is the run's, then W&B.

    Args:
        tracking: Settings.
        experiment: The experiment's folder.
        resumed: Checkpoint of the run that is resumed; its folder, table and W&B run are used again.
        notes: Notes in that checkpoint.
    """
    table = MetricsTable(
        tracking.folder,
        experiment.name,
        version=version_of(resumed) if resumed else None,
        kept_rows=notes.metrics_rows if resumed else None,
    )
    if not tracking.wandb:
        return [table]
    experiment.mkdir(parents=True, exist_ok=True)
    make = partial(
        WandbLogger,
        name=f"{experiment.name}/{Path(table.log_dir).name}",
        project=tracking.project,
        save_dir=experiment,
        id=(notes.wandb_id if resumed else None) or secrets.token_hex(4),
    )
    # the agent of a sweep is logged in, and waits for the metrics
    online = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_SWEEP_ID")
    return [table, _online_if_possible(make) if online else make(offline=True)]


@contextmanager
def finishing_wandb_run() -> Iterator[None]:
    """Ends the run in W&B whatever happens: the next run of this process would be added to it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def _online_if_possible(make: Callable[..., WandbLogger]) -> WandbLogger:
    """A logger that sends what is logged, or one that keeps it if W&B can't be reached: the run goes on."""
    logger = make(offline=False)
    try:
        _ = logger.experiment
    except (CommError, UsageError) as error:
        rank_zero_warn(
            f"W&B can't be reached ({str(error).splitlines()[0]}): the run is kept offline, and `wandb sync` sends it."
        )
        wandb.teardown()  # the failed attempt still holds the run's id
        return make(offline=True)
    return logger
