"""Lists and label spaces beside the videos: their paths may be relative to the videos' root."""

from collections.abc import Callable
from pathlib import Path

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.label_files import find_folder
from ost_lightning.text.label_space import RAW


def find_list(file: Path, root: str) -> Path | None:
    """Returns the path of a list: below the root of its videos, or else in the working folder; None if in neither.

    Args:
        file: Path as set.
        root: Root of the videos, a folder or URL.

    Raises:
        UserError: If two different lists have this path.
    """
    return _below(file, root, Path.is_file) or (file if file.is_file() else None)


def list_file(file: Path, root: str) -> Path:
    """Returns the path of a list; see `find_list`.

    Raises:
        UserError: If there is no such list, or two different ones have this path.
    """
    if (found := find_list(file, root)) is not None:
        return found
    _require_folder(root)
    places = "" if file.is_absolute() else f", neither in the data's `root` {root} nor in the working folder"
    raise UserError(f"The list {file} does not exist{places}.")


def label_space(labels: str | None, root: str) -> LabelSpace:
    """Loads the label space of videos.

    Args:
        labels: Name, or folder below the root or relative to the working folder; None for the root itself.
        root: Root of the videos, a folder or URL.

    Raises:
        UserError: If there is no such label space, or two different ones have this path.
    """
    if labels is None:
        _require_folder(root)
        return LabelSpace.load(root)
    found = _below(Path(labels), root, lambda folder: find_folder(str(folder).removesuffix(RAW)) is not None)
    return LabelSpace.load(labels if found is None else found)


def _below(path: Path, root: str, exists: Callable[[Path], bool]) -> Path | None:
    """Returns the path below the root, if something is there."""
    below = Path(root) / path
    if path.is_absolute() or "://" in root or not exists(below):
        return None
    if path.exists() and not path.samefile(below):
        raise UserError(
            f"There are both {below} and {path.absolute()}, so that {path} has two meanings. Set the absolute path of "
            "the one that is meant."
        )
    return below


def _require_folder(root: str) -> None:
    if ":/" not in root and not Path(root).exists():
        raise UserError(f"The video folder {root} does not exist. Set the data's `root` to where the videos are.")
