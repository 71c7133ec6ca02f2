"""Multi-process runs on one machine, over the loopback interface."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed, multiprocessing

import ost_lightning

_HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.write(descriptor, sys.argv[2].encode())
print("held", flush=True)
sys.stdin.read()
"""
LIMIT = 400  # seconds; many processes share few cores


def in_processes(world_size: int, function: Callable[..., None], folder: Path, *arguments: object) -> None:
    """Calls `function(folder, *arguments)` in several processes that form a gloo group."""
    rendezvous = folder / f"rendezvous-{world_size}"
    context = multiprocessing.spawn(
        _start, (world_size, function, rendezvous, folder, *arguments), nprocs=world_size, join=False
    )
    end = time.monotonic() + LIMIT
    while not context.join(timeout=1):
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            raise TimeoutError(f"{world_size} processes did not end within {LIMIT} s")


def _start(rank: int, world_size: int, function: Callable[..., None], rendezvous: Path, *arguments: object) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    try:
        function(*arguments)
    finally:
        distributed.destroy_process_group()


def environment(**more: str) -> dict[str, str]:
    """Returns the environment for commands in tests: without this process's rank, and on the loopback interface."""
    kept = {key: value for key, value in os.environ.items() if key not in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")}
    return {
        **kept,
        "GLOO_SOCKET_IFNAME": "lo",
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(Path(ost_lightning.__file__).parents[1])]),
        **more,
    }


def command(*arguments: str) -> list[str]:
    """Returns the command line of `ost` in this installation."""
    return [sys.executable, "-m", "ost_lightning", *arguments]


def ost(arguments: Sequence[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs `ost` in a folder until it ends."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@contextmanager
def another_process(folder: Path, notes: str = "{}") -> Iterator[subprocess.Popen[str]]:
    """Starts another process that holds the lock of a run.

    Args:
        folder: Folder of the run.
        notes: Content of the lock file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _HOLD, str(folder / ".lock"), notes]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()
