"""Properties of the machine that this process runs on."""

import os


def usable_cores() -> int:
    """Returns the number of processor cores that this process may use."""
    # macOS has no interface for the cores that a process may use
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
