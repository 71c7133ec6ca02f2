import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ost_lightning.callbacks.resuming.stop_signals import SIGNALS, StopSignals, requeue_slurm_job


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restores the signal handlers of the process after each test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def scontrol_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log of a fake `scontrol` that prints the state FAKE_STATE and exits with the status FAKE_STATUS."""
    script = tmp_path / "bin" / "scontrol"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/log.txt\necho "JobId=$3 JobState=${{FAKE_STATE:-RUNNING}}"\n'
        'echo "no permission" >&2\nexit ${FAKE_STATUS:-0}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return tmp_path / "log.txt"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_only_recorded(number: signal.Signals) -> None:
    signals = StopSignals()
    signals.listen()
    assert signals.received is None
    os.kill(os.getpid(), number)
    assert signals.received is number


def test_a_second_ctrl_c_ends_the_process_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    child = os.fork()
    if child == 0:
        signals = StopSignals()
        signals.listen(announce=True)
        os.kill(os.getpid(), signal.SIGINT)
        os.write(1, str(signals.received).encode())
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGINT
    output, error = capfd.readouterr()
    assert output == str(signal.SIGINT)
    assert "saving after this step; press it again to end at once" in error


def test_outside_the_main_thread_no_handler_is_installed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=StopSignals().listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, []),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "bash"}, []),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive"}, []),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "ost"}, ["show job 7 --oneliner", "requeue 7"]),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"},
            ["show job 7_2 --oneliner", "requeue 7_2"],
        ),
        ({"SLURM_JOB_ID": "7", "FAKE_STATE": "CANCELLED"}, ["show job 7 --oneliner"]),
    ],
)
def test_only_batch_jobs_that_were_not_canceled_are_requeued(
    scontrol_log: Path, variables: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    requeue_slurm_job()
    assert (scontrol_log.read_text().splitlines() if scontrol_log.exists() else []) == expected


def test_a_job_that_cannot_be_requeued_is_reported(
    scontrol_log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("FAKE_STATUS", "1")
    with pytest.warns(UserWarning, match=r"Can't requeue the SLURM job 7 \(no permission\)\. Submit it again"):
        requeue_slurm_job()
    assert "was requeued" not in caplog.text
