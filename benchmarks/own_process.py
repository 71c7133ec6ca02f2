"""Work in a process of its own, whose peak memory is that of the work alone."""

import gc
import multiprocessing
import os
import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import torch
from gradient_cache import PLAIN_MALLOC

Result = TypeVar("Result")
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
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()

    def read(self) -> float:
        """Returns the largest memory so far."""
        if self.device == "cpu":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10  # KiB on Linux
        else:
            peak = torch.cuda.max_memory_allocated()
        return (peak - self._before) / 2**30


def in_own_process(work: Callable[..., Result], *arguments: object, preload: Sequence[str] = _PRELOADED) -> Result:
    """Runs a function in a process that inherits nothing but imports, and returns what it returns.

    Modules are imported once, in a server that has no threads and little memory; each process is a fork of it.

    Args:
        work: Function that can be pickled, like its arguments and its result.
        arguments: Arguments of the function.
        preload: Modules that the server imports; the first call decides.
    """
    os.environ.update(PLAIN_MALLOC)  # read when a program starts, so it has no effect on this process
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, *arguments).result()
