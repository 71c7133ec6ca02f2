"""Label spaces: ordered class names, their Spatio-Temporal Descriptors by class name, and where both came from.

A label space is a folder with

* `classes.txt`: one class name per line; line k is label k, from 0. Where the publisher spells a class differently, a
  tab and that spelling follow. Lines that begin with `#` say where the names come from.
* `descriptors.json` (only needed by matchers that use descriptors)::

    {"provenance": {"source": "...", ...},
     "classes": {"archery": {"spatio": ["...", ...], "temporal": ["...", ...]}, ...}}

  The lists are ranked: N descriptors are the first N. `"inherit": "NAME"` takes the descriptors of classes that are not
  listed from another label space.

or, for a part of another label space, a folder with

* `selection.txt`: a line `from NAME`, then the class names in the wanted order. Nothing is copied.

A folder of one's own videos without these files also works: its classes have the names of the folders in `train`,
`val` and `test`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

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
"""Suffix of a name that asks for the publisher's spelling of the class names."""


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Ordered classes with their descriptors.

    Attributes:
        names: K different class names, as CLIP reads them; the index is the label.
        descriptors: Descriptors by class name; classes may be missing as long as nothing asks for them.
        source: Where the class names come from.
        provenance: Where the descriptors come from.
        origin: Folder or file that it was read from, for messages.
        published: The publisher's spelling of each name, as annotation files have it; the names if not given.
    """

    names: tuple[str, ...]
    descriptors: Mapping[str, Descriptors] = field(default_factory=dict)
    source: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "given in code"
    published: tuple[str, ...] = ()

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
        """Reads a label space that comes with the package, by name, or any folder of that form.

        With `-raw` behind the name, class names have the publisher's spelling. A folder of videos without a list of
        classes has one class per folder.

        Raises:
            LabelSpaceError: If it does not exist or is malformed.
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
                f"name per line), or one that comes with the package: {', '.join(known_names()) or 'none'}."
            )
        if (folder / SELECTION).is_file():
            return cls._load_selection(folder)
        listed, file = read_class_list(folder / CLASSES), folder / DESCRIPTORS
        descriptors, provenance = read_descriptors(file, listed.names) if file.is_file() else ({}, {})
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
        whole = cls.load(source)
        known = set(whole.names)
        if unknown := [name for name in chosen.names if name not in known]:
            raise LabelSpaceError(f"{file}: the label space {whole.origin} has no class '{unknown[0]}'.")
        return replace(whole._pick(chosen.names, str(folder)), source=chosen.source or whole.source)

    @classmethod
    def of_class_folders(cls, root: Path, folders: Iterable[str]) -> Self:
        """Classes named after folders of videos, with a blank for every `_`.

        Args:
            root: Folder with `descriptors.json`, if there is one.
            folders: Names of the folders of videos.

        Raises:
            LabelSpaceError: If `descriptors.json` is malformed.
        """
        published: dict[str, str] = {}
        for folder in sorted(set(folders)):
            published.setdefault(folder.replace("_", " "), folder)
        names, file = tuple(published), root / DESCRIPTORS
        descriptors, provenance = read_descriptors(file, names) if file.is_file() else ({}, {})
        return cls(names, descriptors, f"folders of {root}", provenance, str(root), tuple(published.values()))

    def save(self, folder: Path) -> None:
        """Writes a folder that `load` can read."""
        header = f"# {self.source}\n" if self.source else ""
        lines = [
            name if name == published else f"{name}\t{published}"
            for name, published in zip(self.names, self.published, strict=True)
        ]
        write_text_atomically(folder / CLASSES, header + "".join(f"{line}\n" for line in lines))
        if self.descriptors:
            classes = {
                name: {"spatio": entry.spatio, "temporal": entry.temporal} for name, entry in self.descriptors.items()
            }
            content = {"provenance": dict(self.provenance), "classes": classes}
            write_text_atomically(folder / DESCRIPTORS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def select(self, names: Sequence[str]) -> Self:
        """Some of the classes, in the given order.

        Raises:
            LabelSpaceError: If a name is not in this label space.
        """
        if unknown := [name for name in names if name not in self.names]:
            raise LabelSpaceError(f"The label space {self.origin} has no class '{unknown[0]}'.")
        return self._pick(names, self.origin)

    def as_published(self) -> Self:
        """The same classes under the publisher's spelling of their names."""
        spelling = dict(zip(self.names, self.published, strict=True))
        descriptors = {spelling[name]: entry for name, entry in self.descriptors.items() if name in spelling}
        return replace(self, names=self.published, descriptors=descriptors)

    def _pick(self, names: Sequence[str], origin: str) -> Self:
        place = {name: index for index, name in enumerate(self.names)}
        chosen = {name: self.descriptors[name] for name in names if name in self.descriptors}
        published = tuple(self.published[place[name]] for name in names)
        return replace(self, names=tuple(names), descriptors=chosen, origin=origin, published=published)

    def descriptors_of(self, kind: DescriptorKind, count: int) -> tuple[tuple[str, ...], ...]:
        """The first `count` descriptors of every class.

        Returns:
            K rows of `count` texts.

        Raises:
            LabelSpaceError: If a class has fewer than `count`.
        """
        rows = tuple(
            getattr(self.descriptors[name], kind)[:count] if name in self.descriptors else () for name in self.names
        )
        short = [(name, len(row)) for name, row in zip(self.names, rows, strict=True) if len(row) < count]
        if short:
            examples = ", ".join(f"'{name}' has {found}" for name, found in short[:3])
            listed = Path(self.origin).is_file()  # a table of videos, whose labels are the classes
            place = "in the folder of a label space, and set the data's `labels` to it" if listed else "there"
            raise LabelSpaceError(
                f"{len(short)} of {len(self)} classes of the label space {self.origin} have fewer than {count} "
                f"{kind} descriptors ({examples}). Add them to descriptors.json {place}, ask for fewer "
                "(descriptors_per_class), or use the matcher CategoryName, which needs none."
            )
        return rows
