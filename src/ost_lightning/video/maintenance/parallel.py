"""The same work on many files, in several processes, of which one may die of a damaged file."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_IN_FLIGHT: Final = 4


def map_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, when_killed: Callable[[Item], Result]
) -> Iterator[Result]:
    """Results as they come, in any order.

    When a process dies (a decoder that crashes, or takes all the memory), what was under way is done again, each item
    in a process of its own, so that the culprit is known and the others have their results.

    Args:
        work: What to do; a function that can be pickled.
        items: With what.
        workers: Processes; 0 works in this one.
        when_killed: Result for an item whose process dies.
    """
    if not workers:
        yield from map(work, items)
        return
    waiting = deque(items)
    while waiting:
        running: dict[Future[Result], Item] = {}
        try:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                while waiting or running:
                    while waiting and len(running) < _IN_FLIGHT * workers:
                        future = pool.submit(work, waiting[0])
                        running[future] = waiting.popleft()
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        result = done.result()
                        del running[done]
                        yield result
        except BrokenProcessPool:
            for item in running.values():
                yield _alone(work, item, when_killed)


def _alone(work: Callable[[Item], Result], item: Item, when_killed: Callable[[Item], Result]) -> Result:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            return when_killed(item)
