"""Files of a label space: class names, selections from another label space, and descriptors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from ost_lightning.vocabulary import SentenceKind

CLASSES: Final = "classes.txt"
SELECTION: Final = "selection.txt"
DESCRIPTORS: Final = "descriptors.json"
_FROM: Final = "from "
_LISTS: Final = ("spatio", "temporal", "rephrased")
"""Lists of a class in `descriptors.json`."""
LISTED_KINDS: Final[tuple[SentenceKind, ...]] = ("spatio", "temporal", "name")
"""Kinds of sentence of these lists, in the same order as the fields of `Descriptors`."""
_PARTS: Final = ("train", "val", "test")
"""Names of video folders that contain one folder per class."""


class LabelSpaceError(UserError):
    """Raised when a label space is missing or malformed, or has too few descriptors."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors of one class, written by an LLM or a person.

    Attributes:
        spatio: Static visual features, most typical first.
        temporal: Steps of the action, in order.
        rephrased: Short phrases that say in other words what the class name says, best first; each takes the name's
            place in the templates of names. (After FROSTER, Huang et al., ICLR 2024.)
    """

    spatio: tuple[str, ...]
    temporal: tuple[str, ...]
    rephrased: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassList:
    """Contents of `classes.txt` or `selection.txt`.

    Attributes:
        names: Class names as CLIP encodes them.
        published: Publisher's spelling of each class name.
        source: Text of the comment lines.
        chosen_from: Label space from which a selection is made; empty for `classes.txt`.
    """

    names: tuple[str, ...]
    published: tuple[str, ...]
    source: str
    chosen_from: str = ""


def read_class_list(file: Path) -> ClassList:
    """Reads `classes.txt`: one name per line, optionally a tab and the publisher's spelling.

    Raises:
        LabelSpaceError: If a line has more than one tab, or an empty name.
    """
    source, lines = _lines(file)
    names, published = [], []
    for number, line in lines:
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) > 2 or not all(fields):
            raise LabelSpaceError(
                f"{file}:{number}: '{line}' is not a class. Expected a name or, if the publisher spells it "
                f"differently, a name, one tab and that spelling."
            )
        names.append(fields[0])
        published.append(fields[-1])
    return ClassList(tuple(names), tuple(published), source)


def read_selection(file: Path) -> ClassList:
    """Reads `selection.txt`: a line `from NAME`, then class names of that label space in the order of their labels.

    Raises:
        LabelSpaceError: If the line `from NAME` is missing.
    """
    source, lines = _lines(file)
    if not lines or not lines[0][1].startswith(_FROM):
        number, line = lines[0] if lines else (1, "")
        raise LabelSpaceError(
            f"{file}:{number}: '{line}' does not name the source of the selection. Expected a line such as "
            f"`from kinetics600`, then the names of the selected classes."
        )
    names = tuple(line for _, line in lines[1:])
    return ClassList(names, names, source, lines[0][1].removeprefix(_FROM).strip())


def read_descriptors(file: Path, names: Sequence[str]) -> tuple[dict[str, Descriptors], Mapping[str, Any]]:
    """Reads `descriptors.json`.

    With the key `inherit`, classes that are not in the file get the descriptors of the same class in the label space
    that the key names.

    Args:
        file: Path of the label space's `descriptors.json`.
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
        raise LabelSpaceError(f"{file}: there are no descriptors to inherit from a label space '{inherited}'.")
    other = _read_object(folder / DESCRIPTORS)
    if "inherit" in other:
        raise LabelSpaceError(f"{file}: '{inherited}' also inherits descriptors. Name the label space that has them.")
    provenance["inherited"] = {"from": inherited, **other.get("provenance", {})}
    known = set(names)
    wanted = {name: entry for name, entry in other["classes"].items() if name in known}
    return _entries(folder / DESCRIPTORS, wanted) | descriptors, provenance


def find_folder(name: str, beside: Path | None = None) -> Path | None:
    """Finds the folder of a label space: a path, a sibling of another label space, or one shipped with the package."""
    for folder in (Path(name), *([beside.parent / name] if beside else []), shipped("data") / name):
        if (folder / CLASSES).is_file() or (folder / SELECTION).is_file():
            return folder
    return None


def class_folders(root: Path) -> list[str]:
    """Returns the names of the class folders in `root/train`, `root/val` and `root/test`."""
    folders = [root / part for part in _PARTS if (root / part).is_dir()]
    return sorted({name for folder in folders for name in subfolders(folder)})


def subfolders(folder: Path) -> list[str]:
    """Returns the names of the subfolders of a folder, except hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def known_names() -> list[str]:
    """Returns the names of the label spaces that are shipped with the package."""
    found = [path.parent.name for name in (CLASSES, SELECTION) for path in shipped("data").glob(f"*/{name}")]
    return sorted(found)


def read_text(file: Path) -> str:
    """Returns a file's text without its byte order mark, if any.

    Raises:
        LabelSpaceError: If the file is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelSpaceError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error


def _lines(file: Path) -> tuple[str, list[tuple[int, str]]]:
    """Returns the text of the comments, and the other non-empty lines with their numbers."""
    numbered = [(number, line.strip()) for number, line in enumerate(read_text(file).split("\n"), start=1)]
    source = " ".join(line.lstrip("# ") for _, line in numbered if line.startswith("#"))
    return source, [(number, line) for number, line in numbered if line and not line.startswith("#")]


def _read_object(file: Path) -> dict[str, Any]:
    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content:
                raise LabelSpaceError(f"{file}: '{key}' occurs twice. Remove one of them, or merge their lists.")
            content[key] = value
        return content

    try:
        content = json.loads(read_text(file), object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise LabelSpaceError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("classes"), dict)
        or not isinstance(content.get("provenance", {}), dict)
    ):
        raise LabelSpaceError(
            f'{file} must be a JSON object with the keys "provenance" and "classes" (descriptors by class name).'
        )
    return content


def _entries(file: Path, classes: dict[str, Any]) -> dict[str, Descriptors]:
    descriptors = {}
    for name, entry in classes.items():
        lists = [entry.get(key, []) if isinstance(entry, dict) else None for key in _LISTS]
        for texts in lists:
            if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
                raise LabelSpaceError(
                    f'{file}: the class \'{name}\' must have "spatio" and "temporal" lists of non-empty strings, and '
                    'may have such a list "rephrased".'
                )
        descriptors[name] = Descriptors(*(tuple(texts or ()) for texts in lists))
    return descriptors
