import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ost_lightning.callbacks.resuming import MetricsTable
from ost_lightning.callbacks.resuming.run_lock import create_run_folder, lock_run, unlock_run
from ost_lightning.errors import UserError
from tests.processes import another_process


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "version_0"
    unlock_run(tmp_path / "version_0")


def test_runs_that_start_at_once_get_different_folders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(lambda _: MetricsTable(tmp_path, "run"), range(24)))
        versions = list(pool.map(lambda table: table.version, tables))
    assert sorted(versions) == list(range(24))
    assert [table.version for table in tables] == versions
    (tmp_path / "run/version_30").mkdir()
    (tmp_path / "run/version_best").mkdir()
    assert create_run_folder(tmp_path / "run") == 31


@pytest.mark.parametrize("name", ["", "run"])
def test_folders_that_cannot_be_created_are_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"Can't create a folder for the run in .*file.* set --tracking\.folder"):
        _ = MetricsTable(tmp_path / "file", name).version
    with pytest.raises(UserError, match="Can't write into the run's folder"):
        lock_run(tmp_path / "file" / name)


def test_a_run_that_another_process_trains_is_refused(folder: Path) -> None:
    with another_process(folder, '{"pid": 7, "host": "node3"}'):
        with pytest.raises(UserError, match=r"version_0 is in use: process 7 on node3 is training .* --tracking\.name"):
            lock_run(folder)
        lock_run(folder.parent / "version_1")
        unlock_run(folder.parent / "version_1")
    lock_run(folder)  # a dead process holds nothing, although its file remains
    lock_run(folder / "..")
    unlock_run(folder / "..")


def test_the_lock_is_held_until_it_is_released(folder: Path) -> None:
    lock_run(folder)
    lock_run(folder)
    with pytest.raises(AssertionError), another_process(folder):
        pass
    unlock_run(folder)
    with another_process(folder):
        pass


def test_loading_processes_do_not_keep_the_lock(folder: Path) -> None:
    lock_run(folder)
    if (child := os.fork()) == 0:  # as loading processes are started
        time.sleep(60)
        os._exit(0)
    try:
        unlock_run(folder)
        with another_process(folder):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_requeued_slurm_job_takes_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server may not know yet that the machine of the first start has died."""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with another_process(folder, '{"pid": 7, "host": "node3", "job": "12", "restarts": 0}'):
        with pytest.raises(UserError, match="is in use"):  # another command within the same job
            lock_run(folder)
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        lock_run(folder)
        monkeypatch.setenv("SLURM_JOB_ID", "13")
        with pytest.raises(UserError, match="is in use"):
            lock_run(folder)


@pytest.mark.parametrize("notes", ["", "{", "[]"])
def test_a_lock_without_notes_is_a_lock(folder: Path, notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with another_process(folder, notes), pytest.raises(UserError, match="process unknown on unknown is training"):
        lock_run(folder)
