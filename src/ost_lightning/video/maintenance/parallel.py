"""Parallel processing of many files; a file that kills its worker process does not affect the others."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import active_children, get_context
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_IGNORE_CTRL_C: Final = (signal.SIGINT, signal.SIG_IGN)  # reaches the whole terminal; the waiting process handles it
_ATTEMPTS: Final = 3
"""Number of processes that are tried for an item if they die before they get it."""


def map_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, when_killed: Callable[[Item], Result]
) -> Iterator[Result]:
    """Applies a function to items in worker processes and yields the results as they arrive, in any order.

    If a worker dies (a decoder that crashes, or takes all the memory), only the item that it was processing is lost; a
    new worker takes its place. If an item raises an exception, or the caller stops iterating, the workers are stopped.

    Args:
        work: Function to apply; it has to be picklable.
        items: Arguments of the function.
        workers: Number of processes; 0 runs everything in this process.
        when_killed: Function that returns the result for an item whose worker died.

    Raises:
        RuntimeError: Worker processes die before they get an item.
    """
    if not workers:
        yield from map(work, items)
        return
    waiting = deque(items)
    running: dict[Future[Result], tuple[_Worker, Item]] = {}
    pool = [_Worker() for _ in range(min(workers, len(items)))]

    def start_next(worker: _Worker) -> None:
        if waiting:
            item = waiting.popleft()
            running[worker.start(work, item)] = worker, item

    try:
        for worker in pool:
            start_next(worker)
        while running:
            done = {future: running.pop(future) for future in wait(running, return_when=FIRST_COMPLETED).done}
            for worker, _ in done.values():
                start_next(worker)  # before the caller takes its time with the results
            for future, (_, item) in done.items():
                try:
                    result = future.result()
                except BrokenProcessPool:
                    result = when_killed(item)
                yield result
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """Process that gets one item at a time, so that it is certain which item killed it."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._executor = ProcessPoolExecutor(1, get_context("spawn"), signal.signal, _IGNORE_CTRL_C)
        self._process_id = self._executor.submit(os.getpid)

    def start(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Starts work on an item, in a new process if the last item killed the old one."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._executor.shutdown()
                self._begin()
            with suppress(BrokenProcessPool):
                self._process_id.result()
                return self._executor.submit(work, item)
        raise RuntimeError(
            f"Worker processes die before they get an item ({_ATTEMPTS} attempts); a reason may be printed above. "
            'Check the free memory, and that a script starts its work under `if __name__ == "__main__":`.'
        )

    def stop(self) -> None:
        """Ends the process, and with it what it is doing."""
        if self._process_id.done() and not self._process_id.exception():
            for process in active_children():
                if process.pid == self._process_id.result():
                    process.kill()
        self._executor.shutdown()
