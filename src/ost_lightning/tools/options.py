"""What several tools are given: a number of processes, a place for what they write."""

import os
from pathlib import Path

from ost_lightning.errors import UserError


def processes(workers: int | None) -> int:
    """The number of processes that was asked for, or as many as there are cores.

    Raises:
        UserError: If it is below zero.
    """
    if workers is None:
        # macOS does not tell which cores a process may use
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 0:
        raise UserError(f"--workers is {workers}: give a number of processes, or 0 to work in this one.")
    return workers


def output_folder(folder: Path) -> Path:
    """A folder that is there or can be made.

    Raises:
        UserError: If a file is in its place, or in that of a folder above it.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(f"The output has to be a folder, and {there} is a file. Give another place.")
    return folder


def output_file(file: Path) -> Path:
    """A file that is there or can be made.

    Raises:
        UserError: If a folder is in its place, or a file in that of a folder above it.
    """
    if file.is_dir():
        raise UserError(f"The output has to be a file, and {file} is a folder. Give another place.")
    output_folder(file.parent)
    return file
