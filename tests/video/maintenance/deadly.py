"""Functions for worker processes, in a module with few imports, so that processes start fast."""

import os
import signal
import time


def deadly(number: int) -> tuple[int, int]:
    """The number and the process; at 5 the process dies, as with a decoder that runs into a bad pointer."""
    if number == 5:
        os._exit(11)
    return number, os.getpid()


def killed_for_memory(number: int) -> tuple[int, int]:
    """The number and the process; at 5 the process is killed from outside."""
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def failing(number: int) -> int:
    """Fails at 1."""
    if number == 1:
        raise ArithmeticError("one is too few")
    return number


def slow(number: int) -> int:
    """Takes 20 s, except for 0."""
    time.sleep(20 * bool(number))
    return number
