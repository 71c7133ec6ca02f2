"""Label spaces: ordered class names, Spatio-Temporal Descriptors by class name, and the provenance of both.

A label space is a folder with these files:

* `classes.txt`: one class name per line; line k has label k, counted from 0. If the publisher spells a class
  differently, a tab and that spelling follow. Lines that begin with `#` state the source of the names.
* `descriptors.json` (only needed by matchers that use descriptors)::

    {"provenance": {"source": "...", ...},
     "classes": {"archery": {"spatio": ["...", ...], "temporal": ["...", ...]}, ...}}

  The lists are ranked: a request for N descriptors returns the first N. With `"inherit": "NAME"`, classes that are not
  listed get their descriptors from another label space. A third list, `"rephrased"`, may have other words for the name.

A subset of another label space is a folder with this file:

* `selection.txt`: a line `from NAME`, then class names in the order of their labels. Nothing is copied.

A folder of videos without these files also works: its classes are named after the folders in `train`, `val` and `test`.
"""

import difflib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ost_lightning.characters import escaped
from ost_lightning.files import write_text_atomically
from ost_lightning.text.label_files import (
    CLASSES,
    DESCRIPTORS,
    SELECTION,
    Descriptors,
    LabelSpaceError,
    class_folders,
    find_folder,
    known_names,
    read_class_list,
    read_descriptors,
    read_selection,
)
from ost_lightning.vocabulary import DescriptorKind

RAW: Final = "-raw"
"""Suffix of a label space's name that selects the publisher's spelling of the class names."""


class OrphanDescriptorsWarning(UserWarning):
    """Warning about descriptors of names that are no classes, which are never used."""


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Ordered classes with their descriptors.

    Attributes:
        names: K distinct class names as CLIP encodes them; the index is the label.
        descriptors: Descriptors by class name; classes may be missing if their descriptors are never requested.
        source: Source of the class names.
        provenance: Provenance of the descriptors.
        origin: Folder or file of the label space, for messages.
        published: Publisher's spelling of each name, as in annotation files; `names` by default.
        selected_from: Label space that the classes were selected from; None if this is a complete one.

    Examples:
        >>> labels = LabelSpace.load("ucf101")
        >>> len(labels), labels.names[2]
        (101, 'archery')
        >>> labels.select(["archery"]).descriptors["archery"].temporal[0]
        'fitting an arrow onto the bowstring'
    """

    names: tuple[str, ...]
    descriptors: Mapping[str, Descriptors] = field(default_factory=dict)
    source: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "given in code"
    published: tuple[str, ...] = ()
    selected_from: Self | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise LabelSpaceError(f"The label space {self.origin} has no classes.")
        if not self.published:
            object.__setattr__(self, "published", self.names)
        if len(self.published) != len(self.names):
            raise ValueError(f"{len(self.names)} names, {len(self.published)} published spellings")
        for names in (self.names, self.published):
            seen: set[str] = set()
            for name in names:
                if name in seen:
                    raise LabelSpaceError(
                        f"The label space {self.origin} names '{name}' twice. Class names must differ."
                    )
                seen.add(name)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def load(cls, name_or_folder: str | Path) -> Self:
        """Reads a label space: one shipped with the package, by name, or any folder of that form.

        With the suffix `-raw`, class names have the publisher's spelling. A folder of videos without a list of classes
        has one class per subfolder.

        Raises:
            LabelSpaceError: If the label space does not exist or is malformed.
        """
        folder = find_folder(str(name_or_folder))
        if folder is None:
            name = str(name_or_folder)
            if name.endswith(RAW) and find_folder(name.removesuffix(RAW)) is not None:
                return cls.load(name.removesuffix(RAW)).as_published()
            if classes := class_folders(Path(name)):
                return cls.of_class_folders(Path(name), classes)
            raise LabelSpaceError(
                f"There is no label space '{name_or_folder}'. Expected a folder with a file {CLASSES} (one class "
                f"name per line), or a shipped label space: {', '.join(known_names()) or 'none'}."
            )
        if (folder / SELECTION).is_file():
            return cls._load_selection(folder)
        listed, file = read_class_list(folder / CLASSES), folder / DESCRIPTORS
        descriptors, provenance = read_descriptors(file, listed.names) if file.is_file() else ({}, {})
        _warn_of_orphans(descriptors, listed.names, file)
        return cls(listed.names, descriptors, listed.source, provenance, str(folder), listed.published)

    @classmethod
    def _load_selection(cls, folder: Path) -> Self:
        file = folder / SELECTION
        chosen = read_selection(file)
        source = find_folder(chosen.chosen_from, beside=folder)
        if source is None or (source / SELECTION).is_file():
            raise LabelSpaceError(
                f"{file} selects from '{chosen.chosen_from}', which is not a label space with a file {CLASSES}."
            )
        complete = cls.load(source)
        known = set(complete.names)
        if unknown := [name for name in chosen.names if name not in known]:
            raise LabelSpaceError(f"{file}: the label space {complete.origin} has no class '{unknown[0]}'.")
        return replace(complete._pick(chosen.names, str(folder)), source=chosen.source or complete.source)

    @classmethod
    def of_class_folders(cls, root: Path, folders: Iterable[str]) -> Self:
        """Creates classes named after folders of videos, with a space for each `_`.

        Args:
            root: Folder that may contain `descriptors.json`.
            folders: Names of the folders of videos.

        Raises:
            LabelSpaceError: If `descriptors.json` is malformed.
        """
        published: dict[str, str] = {}
        for folder in sorted(set(folders)):
            published.setdefault(folder.replace("_", " "), folder)
        names, file = tuple(published), root / DESCRIPTORS
        descriptors, provenance = read_descriptors(file, names) if file.is_file() else ({}, {})
        _warn_of_orphans(descriptors, names, file)
        return cls(names, descriptors, f"folders of {root}", provenance, str(root), tuple(published.values()))

    @property
    def language(self) -> str:
        """Language of the descriptors, from their provenance; `en` if that says nothing."""
        return str(self.provenance.get("language", "en"))

    def save(self, folder: Path) -> None:
        """Writes a folder that `load` reads."""
        header = f"# {self.source}\n" if self.source else ""
        lines = [
            name if name == published else f"{name}\t{published}"
            for name, published in zip(self.names, self.published, strict=True)
        ]
        write_text_atomically(folder / CLASSES, header + "".join(f"{line}\n" for line in lines))
        if self.descriptors:
            classes = {
                name: {"spatio": entry.spatio, "temporal": entry.temporal}
                | ({"rephrased": entry.rephrased} if entry.rephrased else {})
                for name, entry in self.descriptors.items()
            }
            content = {"provenance": dict(self.provenance), "classes": classes}
            write_text_atomically(folder / DESCRIPTORS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def select(self, names: Sequence[str]) -> Self:
        """Returns a label space with some of the classes, in the order of `names`.

        Raises:
            LabelSpaceError: If a name is not in this label space.
        """
        known = set(self.names)
        if unknown := [name for name in names if name not in known]:
            raise LabelSpaceError(f"The label space {self.origin} has no class '{unknown[0]}'.")
        return self._pick(names, self.origin)

    def as_published(self) -> Self:
        """Returns the same classes with the publisher's spelling of their names."""
        spelling = dict(zip(self.names, self.published, strict=True))
        descriptors = {spelling[name]: entry for name, entry in self.descriptors.items() if name in spelling}
        return replace(self, names=self.published, descriptors=descriptors)

    def _pick(self, names: Sequence[str], origin: str) -> Self:
        label_of = {name: label for label, name in enumerate(self.names)}
        chosen = {name: self.descriptors[name] for name in names if name in self.descriptors}
        published = tuple(self.published[label_of[name]] for name in names)
        return replace(
            self,
            names=tuple(names),
            descriptors=chosen,
            origin=origin,
            published=published,
            selected_from=self.selected_from or self,
        )

    def wordings(self) -> tuple[tuple[str, ...], ...]:
        """Returns each class's name and its rephrased ones, in rows of the same length.

        All classes with rephrased names have as many as the class with the fewest. For classes without any, the row
        repeats the name, so that means over a row weigh all wordings of a class alike.
        """
        rows = [(name, *(entry.rephrased if (entry := self.descriptors.get(name)) else ())) for name in self.names]
        length = min((len(row) for row in rows if len(row) > 1), default=1)
        return tuple(row[:length] if len(row) > 1 else row * length for row in rows)

    def descriptors_of(self, kind: DescriptorKind, count: int) -> tuple[tuple[str, ...], ...]:
        """Returns the first `count` descriptors of each class.

        Returns:
            K rows with `count` texts each.

        Raises:
            LabelSpaceError: If a class has fewer than `count` descriptors.
        """
        rows = tuple(
            getattr(self.descriptors[name], kind)[:count] if name in self.descriptors else () for name in self.names
        )
        short = [(name, len(row)) for name, row in zip(self.names, rows, strict=True) if len(row) < count]
        if short:
            examples = ", ".join(f"'{name}' has {length}" for name, length in short[:3])
            orphans = _orphans(self.descriptors, self.names)
            also = f" It also has descriptors of {', '.join(orphans[:3])}, which is not a class." if orphans else ""
            from_table = Path(self.origin).is_file()  # a table of videos, whose labels are the classes
            folder = "the folder of a label space, and set the data's `labels` to it" if from_table else "its folder"
            raise LabelSpaceError(
                f"{len(short)} of {len(self)} classes of the label space {self.origin} have fewer than {count} "
                f"{kind} descriptors ({examples}).{also} Add them to descriptors.json in {folder}; request "
                "fewer (descriptors_per_class); or use the matcher CategoryName, which needs no descriptors."
            )
        return rows


def _warn_of_orphans(descriptors: Mapping[str, Descriptors], names: Sequence[str], file: Path) -> None:
    if orphans := _orphans(descriptors, names):
        count = len(orphans)
        more = f" and {count - 3} more" if count > 3 else ""
        warnings.warn(
            f"{file} has descriptors of {', '.join(orphans[:3])}{more}, which the label space has no class for. Rename "
            "or remove them.",
            OrphanDescriptorsWarning,
            stacklevel=3,
        )


def _orphans(descriptors: Mapping[str, Descriptors], names: Sequence[str]) -> list[str]:
    """Returns the names with descriptors that are no classes, in quotes, each with the closest class."""
    known = set(names)
    found: list[str] = []
    for name in descriptors:
        if name not in known:
            close = difflib.get_close_matches(name, names, n=1) if len(found) < 3 else []
            found.append(escaped(f"'{name}'" + (f" (perhaps '{close[0]}')" if close else "")))
    return found
