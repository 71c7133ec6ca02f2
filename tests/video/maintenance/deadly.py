"""Functions for worker processes, in a module with few imports so that the processes start fast."""

import os
import signal
import time


def deadly(number: int) -> tuple[int, int]:
    """Returns the number and the process id; at 5 the process dies, like a decoder that follows a bad pointer."""
    if number == 5:
        os._exit(11)
    return number, os.getpid()


def deadly_if_odd(number: int) -> tuple[int, int]:
    """Returns the number and the process id; at odd numbers the process dies."""
    if number % 2:
        os._exit(11)
    return number, os.getpid()


def killed_for_memory(number: int) -> tuple[int, int]:
    """Returns the number and the process id; at 5 the process is killed, as for lack of memory."""
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def failing(number: int) -> int:
    """Returns the number; fails at 1."""
    if number == 1:
        raise ArithmeticError("one is too few")
    return number


def slow(number: int) -> int:
    """Returns the number after 300 s, 0 at once."""
    time.sleep(300 * bool(number))
    return number
