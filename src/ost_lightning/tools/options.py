"""Validation of options that several tools share: processes, output folder and file, and classes."""

from pathlib import Path

from ost_lightning.errors import UserError
from ost_lightning.machine import usable_cores


def processes(workers: int | None) -> int:
    """Returns the requested number of processes, or the number of usable cores.

    Raises:
        UserError: If the number is negative.
    """
    if workers is None:
        return usable_cores()
    if workers < 0:
        raise UserError(f"--workers is {workers}: give a number of processes, or 0 to work in the main process.")
    return workers


def output_folder(folder: Path) -> Path:
    """Checks that a folder exists or can be created, and returns it.

    Raises:
        UserError: If the path, or a parent of it, is a file.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"The output must be a folder, but {existing} is a file. Choose another path.")
    return folder


def output_file(file: Path) -> Path:
    """Checks that a file exists or can be created, and returns it.

    Raises:
        UserError: If the path is a folder, or a parent of it is a file.
    """
    if file.is_dir():
        raise UserError(f"The output must be a file, but {file} is a folder. Choose another path.")
    output_folder(file.parent)
    return file


def class_names(labels: str | None, classes: str | None) -> str | list[str]:
    """Returns the label space that was named, or the class names.

    Args:
        labels: Name or folder of a label space; None if there are class names.
        classes: Class names separated by commas; None if there is a label space.

    Raises:
        UserError: If neither or both are given, or a name is empty.
    """
    if labels is not None and classes is None:
        return labels
    if classes is None or labels is not None:
        raise UserError("Give either --labels (a label space such as kinetics400) or --classes 'archery, surfing'.")
    names = [name.strip() for name in classes.split(",")]
    if "" in names:
        raise UserError(f"--classes '{classes}' has an empty name: separate names by single commas.")
    return names
