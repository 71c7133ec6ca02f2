"""Exclusive use of run folders: a new folder for every run, and a lock on the folder of a training."""

import errno
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn

from ost_lightning.errors import UserError

_LOCK_FILE: Final = ".lock"
_HELD: Final[dict[Path, int]] = {}
"""Descriptors of the locks that this process holds, by folder."""


@rank_zero_only
def create_run_folder(experiment: Path) -> int:
    """Creates the next folder `version_{n}` of an experiment; processes that do so at once get different folders.

    Args:
        experiment: Folder of the experiment, created if it doesn't exist.

    Returns:
        Number n of the folder; None in all processes of a run but the first, where nothing happens.

    Raises:
        UserError: If the folder can't be created.
    """
    while True:
        try:
            experiment.mkdir(parents=True, exist_ok=True)
            numbers = [path.name.removeprefix("version_") for path in experiment.glob("version_*")]
            version = max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)
            (experiment / f"version_{version}").mkdir()
        except FileExistsError as error:
            if not experiment.is_dir():
                raise UserError(_not_created(experiment, error)) from error
            continue  # another process was faster
        except OSError as error:
            raise UserError(_not_created(experiment, error)) from error
        return version


@rank_zero_only
def lock_run(folder: Path) -> None:
    """Reserves the folder of a training for this process, until `unlock_run` or the end of the process.

    The system releases the lock of a process that dies, on any machine. A requeued SLURM job may take over the lock of
    its earlier start, which a file server may keep for a while if its machine died. Does nothing if this process holds
    the lock already, where the system has no such locks, and in all processes of a run but the first.

    Args:
        folder: Folder of the run, created if it doesn't exist.

    Raises:
        UserError: If another process holds the lock, or the folder can't be written.
    """
    place = folder.resolve()
    if place in _HELD:
        return
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"Can't write into the run's folder {folder}: {error.strerror}.") from error
    try:
        # a lock of the process rather than of the descriptor: loading processes don't inherit it
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _read_holder(descriptor)
        os.close(descriptor)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            rank_zero_warn(f"The file system can't lock {folder} ({error.strerror}): start no second run in it.")
        elif _is_earlier_start(holder):
            rank_zero_info(f"Taking over {folder} from an earlier start of this SLURM job.")
        else:
            raise UserError(
                f"{folder} is in use: process {holder.get('pid', 'unknown')} on {holder.get('host', 'unknown')} is "
                "training this run. Wait for it, or stop it, before you resume the run; for another run at the same "
                "time, leave out --ckpt_path last or set another --tracking.name."
            ) from error
        return
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
    _HELD[place] = descriptor


def unlock_run(folder: Path) -> None:
    """Releases the lock on a run's folder, if this process holds it."""
    if (descriptor := _HELD.pop(folder.resolve(), None)) is not None:
        os.close(descriptor)


def _this_process() -> dict[str, Any]:
    job, restarts = os.environ.get("SLURM_JOB_ID"), int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    return {"pid": os.getpid(), "host": socket.gethostname(), "job": job, "restarts": restarts}


def _read_holder(descriptor: int) -> dict[str, Any]:
    with suppress(ValueError):  # it is writing at this moment
        holder = json.loads(os.pread(descriptor, 10_000, 0))
        return holder if isinstance(holder, dict) else {}
    return {}


def _is_earlier_start(holder: dict[str, Any]) -> bool:
    this = _this_process()
    return this["job"] is not None and this["job"] == holder.get("job") and this["restarts"] > holder.get("restarts", 0)


def _not_created(experiment: Path, error: OSError) -> str:
    return (
        f"Can't create a folder for the run in {experiment} ({error.strerror}): set --tracking.folder and "
        "--tracking.name to a place that can be written."
    )
