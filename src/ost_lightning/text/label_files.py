"""The files of a label space: class names, selections out of another label space, descriptors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped

CLASSES: Final = "classes.txt"
SELECTION: Final = "selection.txt"
DESCRIPTORS: Final = "descriptors.json"
_FROM: Final = "from "
_PARTS: Final = ("train", "val", "test")
"""Folders of videos that have a folder for each class."""


class LabelSpaceError(UserError):
    """A label space is missing, malformed or has too few descriptors."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What an LLM (or a person) wrote about one class.

    Attributes:
        spatio: Static visual features, the most typical first.
        temporal: Steps, in order.
    """

    spatio: tuple[str, ...]
    temporal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassList:
    """Contents of `classes.txt` or `selection.txt`.

    Attributes:
        names: Class names, as CLIP reads them.
        published: The publisher's spelling of each.
        source: Text of the comment lines.
        chosen_from: Label space that a selection chooses from; empty for `classes.txt`.
    """

    names: tuple[str, ...]
    published: tuple[str, ...]
    source: str
    chosen_from: str = ""


def read_class_list(file: Path) -> ClassList:
    """Reads `classes.txt`: one name per line, optionally a tab and the publisher's spelling.

    Raises:
        LabelSpaceError: If a line has several tabs, or an empty name.
    """
    source, lines = _lines(file)
    names, published = [], []
    for number, line in lines:
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) > 2 or not all(parts):
            raise LabelSpaceError(
                f"{file}:{number}: '{line}' is not a class. Expected a name or, if the publisher spells it otherwise, "
                f"a name, one tab and that spelling."
            )
        names.append(parts[0])
        published.append(parts[-1])
    return ClassList(tuple(names), tuple(published), source)


def read_selection(file: Path) -> ClassList:
    """Reads `selection.txt`: a line `from NAME`, then names of classes of that label space, in the wanted order.

    Raises:
        LabelSpaceError: If the line `from NAME` is missing.
    """
    source, lines = _lines(file)
    if not lines or not lines[0][1].startswith(_FROM):
        number, line = lines[0] if lines else (1, "")
        raise LabelSpaceError(
            f"{file}:{number}: '{line}' does not say what is selected from. Expected a line such as "
            f"`from kinetics600`, then the names of the selected classes."
        )
    names = tuple(line for _, line in lines[1:])
    return ClassList(names, names, source, lines[0][1].removeprefix(_FROM).strip())


def read_descriptors(file: Path, names: Sequence[str]) -> tuple[dict[str, Descriptors], Mapping[str, Any]]:
    """Reads `descriptors.json`.

    With a key `inherit`, classes that are not in the file have the descriptors of the same class in the label space of
    that name.

    Args:
        file: `descriptors.json` of the label space.
        names: Class names of the label space; only these classes inherit.

    Returns:
        Descriptors by class name, and their provenance.

    Raises:
        LabelSpaceError: If the file is malformed.
    """
    content = _read_object(file)
    descriptors = _entries(file, content["classes"])
    provenance = dict(content.get("provenance", {}))
    if (inherited := content.get("inherit")) is None:
        return descriptors, provenance
    folder = find_folder(str(inherited), beside=file.parent)
    if folder is None or not (folder / DESCRIPTORS).is_file():
        raise LabelSpaceError(f"{file}: there are no descriptors of a label space '{inherited}' to inherit.")
    other = _read_object(folder / DESCRIPTORS)
    if "inherit" in other:
        raise LabelSpaceError(f"{file}: '{inherited}' inherits descriptors itself; name the label space that has them.")
    provenance["inherited"] = {"from": inherited, **other.get("provenance", {})}
    known = set(names)
    wanted = {name: entry for name, entry in other["classes"].items() if name in known}
    return _entries(folder / DESCRIPTORS, wanted) | descriptors, provenance


def find_folder(name: str, beside: Path | None = None) -> Path | None:
    """The folder of a label space: a path, a neighbor of another label space, or one that comes with the package."""
    for folder in (Path(name), *([beside.parent / name] if beside else []), shipped("data") / name):
        if (folder / CLASSES).is_file() or (folder / SELECTION).is_file():
            return folder
    return None


def class_folders(root: Path) -> list[str]:
    """Names of the folders in `root/train`, `root/val` and `root/test`: one per class of one's own videos."""
    parts = [root / part for part in _PARTS if (root / part).is_dir()]
    return sorted({name for part in parts for name in subfolders(part)})


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, except hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def known_names() -> list[str]:
    """Names of the label spaces that come with the package."""
    found = [path.parent.name for name in (CLASSES, SELECTION) for path in shipped("data").glob(f"*/{name}")]
    return sorted(found)


def read_text(file: Path) -> str:
    """A file's text, with or without a byte order mark.

    Raises:
        LabelSpaceError: If it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelSpaceError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error


def _lines(file: Path) -> tuple[str, list[tuple[int, str]]]:
    """Text of the comments, and the other lines with their numbers."""
    numbered = [(number, line.strip()) for number, line in enumerate(read_text(file).split("\n"), start=1)]
    source = " ".join(line.lstrip("# ") for _, line in numbered if line.startswith("#"))
    return source, [(number, line) for number, line in numbered if line and not line.startswith("#")]


def _read_object(file: Path) -> dict[str, Any]:
    def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content:
                raise LabelSpaceError(f"{file}: '{key}' occurs twice. Remove one of them, or join their lists.")
            content[key] = value
        return content

    try:
        content = json.loads(read_text(file), object_pairs_hook=once_each)
    except json.JSONDecodeError as error:
        raise LabelSpaceError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("classes"), dict)
        or not isinstance(content.get("provenance", {}), dict)
    ):
        raise LabelSpaceError(
            f'{file} must be a JSON object with the keys "provenance" and "classes" (name to lists of descriptors).'
        )
    return content


def _entries(file: Path, classes: dict[str, Any]) -> dict[str, Descriptors]:
    descriptors = {}
    for name, entry in classes.items():
        lists = [entry.get(kind, []) if isinstance(entry, dict) else None for kind in ("spatio", "temporal")]
        for texts in lists:
            if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
                raise LabelSpaceError(
                    f'{file}: the class \'{name}\' must have "spatio" and "temporal" lists of non-empty texts.'
                )
        descriptors[name] = Descriptors(*(tuple(texts or ()) for texts in lists))
    return descriptors
