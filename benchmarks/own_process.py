"""Work in a process of its own, whose peak memory is that of the work alone."""

import gc
import multiprocessing
import os
import resource
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final, TypeVar

Result = TypeVar("Result")
# glibc keeps freed blocks after it has seen large ones, and resident memory would count them; these settings return
# every tensor's memory immediately
PLAIN_MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
_PRELOADED: Final = ("torch", "torch.utils.flop_counter", "ost_lightning.tasks", "ost_lightning.evaluation")


class PeakMemory:
    """Largest memory of this process above what it has now, in GiB.

    On a CPU, this is the resident set, from which memory that was freed before the work is missing. It never decreases,
    so what came before must have been smaller.

    Args:
        device: Device whose memory counts.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        gc.collect()
        if device == "cpu":
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self._before = pages * os.sysconf("SC_PAGE_SIZE")
        else:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()

    def read(self) -> float:
        """Returns the largest memory so far."""
        if self.device == "cpu":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10  # KiB on Linux
        else:
            import torch

            peak = torch.cuda.max_memory_allocated()
        return (peak - self._before) / 2**30


def in_own_process(work: Callable[..., Result], *arguments: object, preload: Sequence[str] = _PRELOADED) -> Result:
    """Runs a function in a process that inherits nothing but imports, and returns what it returns.

    Modules are imported once, in a server that has no threads and little memory; each process is a fork of it. It ends
    when the process that called this does, even if that is killed.

    Args:
        work: Function that can be pickled, like its arguments and its result.
        arguments: Arguments of the function.
        preload: Modules that the server imports; the first call decides.
    """
    os.environ.update(PLAIN_MALLOC)  # read when a program starts, so it has no effect on this process
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(1, context, initializer=_end_with_parent) as pool:
        return pool.submit(work, *arguments).result()


def _end_with_parent() -> None:
    """Ends this process, in the middle of its work, when the one that wants its result has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
