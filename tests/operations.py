"""Amounts of work, which other work on the machine does not change."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(work: Callable[[], object]) -> int:
    """Returns how many lines of Python a function runs; each pass of a loop counts, also within one line."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class CountedText(str):
    """Text that counts how often it is compared or looked up, all texts of the class together."""

    uses = 0

    def __eq__(self, other: object) -> bool:
        CountedText.uses += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        CountedText.uses += 1
        return str.__hash__(self)


def counted_names(count: int) -> tuple[CountedText, ...]:
    """Names of classes."""
    return tuple(CountedText(f"class {number}") for number in range(count))


def text_uses(work: Callable[[], object]) -> int:
    """Returns how often a function compares or looks up counted texts."""
    before = CountedText.uses
    work()
    return CountedText.uses - before
