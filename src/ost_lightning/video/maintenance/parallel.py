"""Parallel processing of many files; a file that kills its worker process does not affect the others."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing import get_context
from typing import Final, TypeVar

from pebble import ProcessExpired, ProcessPool

Item = TypeVar("Item")
Result = TypeVar("Result")
_IN_FLIGHT: Final = 4
"""Number of items per worker that are scheduled ahead."""


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
    """
    if not workers:
        yield from map(work, items)
        return
    waiting = deque(items)
    running: dict[Future[Result], Item] = {}
    pool = ProcessPool(workers, context=get_context("spawn"))
    try:
        while waiting or running:
            while waiting and len(running) < _IN_FLIGHT * workers:
                item = waiting.popleft()
                running[pool.schedule(work, (item,))] = item
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(done)
                try:
                    result = done.result()
                except ProcessExpired:
                    result = when_killed(item)
                yield result
    finally:
        pool.stop()
        pool.join()
