"""Properties of the machine that this process runs on."""

import ctypes
import os


def usable_cores() -> int:
    """Returns the number of processor cores that this process may use."""
    # macOS has no interface for the cores that a process may use
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def return_free_memory() -> None:
    """Makes the C library return the memory that was freed to the system; without effect unless that is glibc.

    Freed blocks of several threads leave gaps, which glibc otherwise keeps for further use. A call takes milliseconds.
    """
    # None is the running program, which on Windows has to be named
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
