"""Time and memory of one piece of work in a process of its own; a part of `growth.py`."""

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

SHORT, REPETITIONS = 0.3, 5
"""Seconds up to which a run is repeated, and how often it runs then."""
Work = Callable[[], object]
"""A function that is measured. One that returns `Measured` says itself what it takes."""


class Measured(NamedTuple):
    """What a run takes.

    Attributes:
        seconds: Processor time, or time by the clock of several processes.
        bytes: Largest resident memory beyond the inputs.
    """

    seconds: float
    bytes: float


def measure(work: Work, warm_up: Work) -> Measured:
    """Runs the work in a forked process, which has the inputs already.

    Args:
        work: Work to measure.
        warm_up: Small work of the same kind, which pays for imports and first uses.
    """
    gc.collect()
    gc.freeze()  # otherwise the collector would look at, and so copy, all inputs in every process
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_measured, args=(work, warm_up, sender))
    process.start()
    sender.close()
    try:
        found: Measured = receiver.recv()
    finally:
        process.kill()  # has sent what it measured, or is not waited for after an interruption
        process.join()
    return found


def _send_measured(work: Work, warm_up: Work, sender: Connection) -> None:
    warm_up()
    gc.collect()
    before = begin_peak()
    taken: list[Measured] = []
    while not taken or (taken[0].seconds < SHORT and len(taken) < REPETITIONS):
        began = time.process_time()
        result = work()
        seconds = time.process_time() - began
        taken.append(result if isinstance(result, Measured) else Measured(seconds, memory("VmHWM") - before))
        del result
    sender.send(Measured(statistics.median(one.seconds for one in taken), max(0, taken[0].bytes)))


def begin_peak() -> int:
    """Makes the memory of now the largest so far, and returns it in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str, file: str = "/proc/self/status") -> int:
    """Returns a figure of the kernel about the memory of a process, in bytes."""
    lines = dict(line.split(":", 1) for line in Path(file).read_text().splitlines() if ":" in line)
    return 1024 * int(lines[name].split()[0])
