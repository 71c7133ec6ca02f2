"""What the outside tells a training process: stop, and perhaps queue up again."""

import os
import signal
import subprocess
import threading
from typing import Any, Final

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1)
"""SIGTERM comes from schedulers that take the machine away; SLURM sends SIGUSR1 if asked to, before the time is up."""


class StopSignals:
    """Remembers that the process was told to stop.

    Nothing else happens in the signal handler: it may come between any two lines, also inside an optimizer step.

    Attributes:
        received: The signal, if any.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self) -> None:
        """Takes over from the trainer's own handlers; the trainer puts back what was there before them."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._remember)

    def _remember(self, number: int, _: Any) -> None:
        self.received = signal.Signals(number)


def requeue_slurm_job() -> None:
    """Puts this SLURM job back into the queue; nothing outside of a batch job, or if its user cancelled it."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        if "JobState=CANCELLED" in _scontrol("show", "job", job, "--oneliner"):
            rank_zero_info(f"SLURM job {job} was cancelled, so it is not queued again")
            return
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        detail = str(getattr(error, "stderr", "") or error).strip()
        rank_zero_warn(f"SLURM job {job} can't be queued again ({detail}): submit it again by hand")
        return
    rank_zero_info(f"SLURM job {job} is queued again")


def _scontrol(*arguments: str) -> str:
    # found on PATH, as every SLURM installation has it
    return subprocess.run(["scontrol", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603, S607
