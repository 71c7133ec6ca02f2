"""Stop requests by signals, and requeuing of SLURM jobs."""

import os
import signal
import subprocess
import threading
from typing import Any, Final

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""Signals that request a stop: SIGTERM before a preemption, SIGUSR1 before a time limit of SLURM, SIGINT for Ctrl-C."""

_ANNOUNCEMENT: Final = b"\nCtrl-C: saving after this step; press it again to end at once, without saving.\n"


class StopSignals:
    """Records a request to stop.

    The signal handler does hardly anything else, because it may run between any two lines, even inside an optimizer
    step. A second SIGINT ends the process at once.

    Attributes:
        received: Last signal received; None before the first.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._announce = False

    def listen(self, *, announce: bool = False) -> None:
        """Replaces the trainer's signal handlers; the trainer restores the original handlers at the end.

        Args:
            announce: Whether to print what the first Ctrl-C does, and what a second one would do.
        """
        self._announce = announce
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._record)

    def _record(self, number: int, _: Any) -> None:
        if number == signal.SIGINT:
            if self.received == signal.SIGINT:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.raise_signal(signal.SIGINT)
            if self._announce:
                os.write(2, _ANNOUNCEMENT)  # print may be interrupted in the middle of another print
        self.received = signal.Signals(number)


def requeue_slurm_job() -> None:
    """Requeues this SLURM batch job unless its user canceled it; does nothing outside SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        if "JobState=CANCELLED" in _scontrol("show", "job", job, "--oneliner"):
            rank_zero_info(f"SLURM job {job} was canceled, so it is not requeued.")
            return
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        detail = str(getattr(error, "stderr", "") or error).strip()
        rank_zero_warn(f"Can't requeue the SLURM job {job} ({detail}). Submit it again by hand.")
        return
    rank_zero_info(f"SLURM job {job} was requeued.")


def _scontrol(*arguments: str) -> str:
    # found on PATH, as every SLURM installation has it
    return subprocess.run(["scontrol", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603, S607
