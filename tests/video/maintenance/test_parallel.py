import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ost_lightning.video.maintenance.parallel import map_in_processes
from tests.video.maintenance.deadly import deadly, deadly_if_odd, failing, killed_for_memory, slow


def unexpected(item: int) -> int:
    raise AssertionError(f"{item} was not killed")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children() -> list[psutil.Process]:
    """Returns the children of this process but for those of libraries: of multiprocessing, and of the browser."""
    libraries = ("resource_tracker", "playwright")
    commands = ((child, " ".join(child.cmdline())) for child in psutil.Process().children())
    workers = (child for child, command in commands if not any(library in command for library in libraries))
    return [child for child in workers if alive(child)]


@pytest.mark.parametrize("work", [deadly, killed_for_memory])
def test_only_the_item_that_kills_its_process_is_lost(work: Callable[[int], tuple[int, int]]) -> None:
    results = dict(map_in_processes(work, list(range(12)), 2, lambda number: (number, 0)))
    assert sorted(results) == list(range(12))
    assert [number for number, process in results.items() if process == 0] == [5]
    assert os.getpid() not in results.values()


def test_two_processes_that_die_at_the_same_time_lose_their_own_items_only() -> None:
    lost = []

    def when_killed(number: int) -> tuple[int, int]:
        lost.append(number)
        return number, 0

    results = list(map_in_processes(deadly_if_odd, [1, 3, 0, 2, 4, 5], 2, when_killed))
    assert Counter(number for number, _ in results) == Counter(range(6))
    assert sorted(lost) == [1, 3, 5]


@pytest.fixture
def deaths_at_the_start(tmp_path: Path) -> Iterator[Path]:
    """Folder in which each file is the death of one worker process at its start."""
    folder, interpreter = tmp_path / "deaths", tmp_path / "python"
    folder.mkdir()
    interpreter.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *spawn_main*) for death in {folder}/*; do rm "$death" 2>{os.devnull} && exit 11; done; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    interpreter.chmod(0o755)
    multiprocessing.set_executable(str(interpreter))
    yield folder
    multiprocessing.set_executable(sys.executable)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_processes_that_die_before_they_get_an_item_are_replaced_and_lose_none(deaths_at_the_start: Path) -> None:
    for death in "ab":
        (deaths_at_the_start / death).touch()
    assert sorted(map_in_processes(failing, [0, 2, 3, 4], 2, unexpected)) == [0, 2, 3, 4]
    assert list(deaths_at_the_start.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_processes_that_always_die_at_their_start_are_an_error(deaths_at_the_start: Path) -> None:
    for death in range(20):
        (deaths_at_the_start / str(death)).touch()
    with pytest.raises(RuntimeError, match=r"die before they get an item \(3 attempts\).*free memory"):
        list(map_in_processes(failing, [0], 1, unexpected))
    assert len(list(deaths_at_the_start.iterdir())) == 17
    assert children() == []


def test_without_workers_everything_runs_in_this_process() -> None:
    assert dict(map_in_processes(deadly, [1, 2], 0, lambda number: (number, 0))) == dict.fromkeys([1, 2], os.getpid())


@pytest.mark.parametrize("workers", [0, 1])
def test_exceptions_are_passed_on(workers: int) -> None:
    with pytest.raises(ArithmeticError, match="one is too few"):
        list(map_in_processes(failing, [0, 1, 2], workers, unexpected))
    assert children() == []


def test_closing_the_iterator_stops_the_processes() -> None:
    results = map_in_processes(slow, [0, 1, 2], 2, unexpected)
    began = time.monotonic()
    assert next(results) == 0
    results.close()
    assert time.monotonic() - began < 150  # the work takes 300 s
    assert children() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_stops_at_once_and_leaves_no_process() -> None:
    script = (
        "from ost_lightning.video.maintenance.parallel import map_in_processes\n"
        "from tests.video.maintenance.deadly import slow\n"
        "if __name__ == '__main__':\n"
        "    for number in map_in_processes(slow, [0, 1, 2], 2, int): print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    workers = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes of the group
    _, error = process.communicate(timeout=150)
    assert error.rstrip().endswith("KeyboardInterrupt")
    # The helper process of multiprocessing ends once it notices that the last pipe to it is closed, a moment later.
    patience = time.monotonic() + 60
    while remaining := [worker for worker in workers if alive(worker)]:
        assert time.monotonic() < patience, remaining
        time.sleep(0.05)
