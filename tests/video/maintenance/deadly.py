"""Work for processes. A module of its own, so that a new process has little to import."""

import os


def deadly(number: int) -> tuple[int, int]:
    """The number and the process; at 5 the process dies, as with a decoder that runs into a bad pointer."""
    if number == 5:
        os._exit(11)
    return number, os.getpid()
