"""Tracking of runs: their folder, the metrics table, and Weights & Biases."""

import netrc
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn

from ost_lightning.callbacks.resuming import CheckpointNotes, MetricsTable, create_folder_of_runs, version_of
from ost_lightning.escaping import without_passwords

_SERVER: Final = "https://api.wandb.ai"
_CREDENTIALS: Final = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_SWEEP_ID")  # a sweep's agent is logged in


@dataclass(frozen=True)
class Tracking:
    """Tracking of runs in `{folder}/{name}/version_{n}`: always as CSV, and in W&B where it is set up or asked for.

    Attributes:
        name: Name of the experiment; the file name of the first --config if not given.
        folder: Root folder under which runs are stored.
        wandb: Whether to log to W&B too. If not given, it is used in a sweep, where you are logged in, and where
            WANDB_MODE is `online` or `offline`. If true without a login, runs are kept for `wandb sync`.
        project: Name of the W&B project.
    """

    name: str | None = None
    folder: Path = Path("runs")
    wandb: bool | None = None
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
    mode = wandb_mode(tracking.wandb)
    if mode is None:
        return [table]
    import wandb  # takes a second, and most runs don't need it

    create_folder_of_runs(experiment)
    make = partial(
        _RunLogger,
        name=f"{experiment.name}/{Path(table.log_dir).name}",
        project=tracking.project,
        save_dir=experiment,
        id=(notes.wandb_id if resumed else None) or secrets.token_hex(4),
        settings=wandb.Settings(quiet=True),  # otherwise it prints every metric of a run again
    )
    return [table, _online_if_possible(make) if mode == "online" else make(offline=True)]


def wandb_mode(wanted: bool | None) -> Literal["online", "offline"] | None:
    """Returns how a run is logged to W&B, from the setting and the environment; None if it is not.

    Args:
        wanted: Whether the user wants W&B; None if that is left to the environment.
    """
    # the values `dryrun` and `run` are older names
    mode = {"dryrun": "offline", "run": "online", "shared": "online"}.get(
        given := os.environ.get("WANDB_MODE", "").lower(), given
    )
    if wanted is False or mode == "disabled":
        return None
    if mode == "offline":
        return "offline"
    if mode == "online" or any(os.environ.get(name) for name in _CREDENTIALS) or _has_stored_login():
        return "online"
    return "offline" if wanted else None


def _has_stored_login() -> bool:
    """Returns whether `wandb login` stored a key for the server."""
    homes = (Path.home() / name for name in (".netrc", "_netrc"))
    files = [Path(file)] if (file := os.environ.get("NETRC")) else homes
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _SERVER).netloc
    for path in files:
        try:
            if host in netrc.netrc(path).hosts:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


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
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def _online_if_possible(make: Callable[..., WandbLogger]) -> WandbLogger:
    """Returns an online logger, or an offline logger if W&B can't be reached, so that the run continues."""
    import wandb
    from wandb.errors import CommError, UsageError

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
