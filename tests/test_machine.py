"""Memory that is given back to the system."""

import ctypes
import sys
from pathlib import Path

import pytest

from ost_lightning.machine import return_free_memory


def resident() -> int:
    """Memory of this process in bytes, without that of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_freed_memory_is_returned() -> None:
    # blocks of this size stay with the C library, because a later one is still in use
    blocks = [bytes(1000 * [1]) * 60 for _ in range(1000)]
    held = [bytes(1000 * [1]) * 60]
    blocks.clear()
    before = resident()
    return_free_memory()
    assert before - resident() > 30_000_000
    assert held
