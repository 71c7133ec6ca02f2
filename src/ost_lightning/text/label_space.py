"""Label spaces: ordered class names, their Spatio-Temporal Descriptors by class name, and where both came from.

A label space is a folder with

* `classes.txt`: one class name a line; line k is label k, from 0. Lines that begin with `#` tell where the names come
from. * `descriptors.json` (only needed by matchers that use descriptors)::

    {"provenance": {"source": "...", ...},
     "classes": {"archery": {"spatio": ["...", ...], "temporal": ["...", ...]}, ...}}

The lists are ranked: N descriptors are the first N.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped

DescriptorKind = Literal["spatio", "temporal"]


class LabelSpaceError(UserError):
    """A label space is missing, malformed or lacks descriptors."""


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
class LabelSpace:
    """Ordered classes with their descriptors.

    Attributes:
        names: K distinct class names; the place is the label.
        descriptors: By class name; classes may be missing as long as nothing asks for them.
        source: Where the class names come from.
        provenance: Where the descriptors come from.
        origin: Folder, for messages.
    """

    names: tuple[str, ...]
    descriptors: Mapping[str, Descriptors] = field(default_factory=dict)
    source: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "given in code"

    def __post_init__(self) -> None:
        if not self.names:
            raise LabelSpaceError(f"The label space {self.origin} has no classes.")
        repeated = (
            sorted({name for name in self.names if self.names.count(name) > 1})
            if len(set(self.names)) < len(self.names)
            else []
        )
        if repeated:
            raise LabelSpaceError(
                f"The label space {self.origin} names '{repeated[0]}' twice. Every class needs a name of its own."
            )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def load(cls, name_or_folder: str | Path) -> Self:
        """Reads a label space that comes with the package, by name, or any folder of that form.

        Raises:
            LabelSpaceError: If it does not exist or is malformed.
        """
        folder = Path(name_or_folder)
        if not folder.is_dir():
            folder = shipped("data") / name_or_folder
        classes = folder / "classes.txt"
        if not classes.is_file():
            known = ", ".join(sorted(path.parent.name for path in shipped("data").glob("*/classes.txt"))) or "none"
            raise LabelSpaceError(
                f"There is no label space '{name_or_folder}'. Expected a folder with a file classes.txt (one class "
                f"name a line), "
                f"or one that comes with the package: {known}."
            )
        lines = [line.strip() for line in classes.read_text(encoding="utf-8-sig").split("\n")]
        names = tuple(line for line in lines if line and not line.startswith("#"))
        source = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        file = folder / "descriptors.json"
        descriptors, provenance = _read_descriptors(file) if file.is_file() else ({}, {})
        return cls(names, descriptors, source, provenance, str(folder))

    def save(self, folder: Path) -> None:
        """Writes the folder that `load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        header = f"# {self.source}\n" if self.source else ""
        (folder / "classes.txt").write_text(header + "".join(f"{name}\n" for name in self.names), encoding="utf-8")
        if self.descriptors:
            classes = {
                name: {"spatio": entry.spatio, "temporal": entry.temporal} for name, entry in self.descriptors.items()
            }
            content = {"provenance": dict(self.provenance), "classes": classes}
            (folder / "descriptors.json").write_text(
                json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )

    def select(self, names: Sequence[str]) -> Self:
        """A part of the classes, in the given order.

        Raises:
            LabelSpaceError: If a name is not in this label space.
        """
        if unknown := [name for name in names if name not in self.names]:
            raise LabelSpaceError(f"The label space {self.origin} has no class '{unknown[0]}'.")
        chosen = {name: self.descriptors[name] for name in names if name in self.descriptors}
        return type(self)(tuple(names), chosen, self.source, self.provenance, self.origin)

    def descriptors_of(self, kind: DescriptorKind, count: int) -> tuple[tuple[str, ...], ...]:
        """The first `count` descriptors of every class.

        Returns:
            K rows of `count` texts.

        Raises:
            LabelSpaceError: If a class has none or too few.
        """
        rows = tuple(
            getattr(self.descriptors[name], kind)[:count] if name in self.descriptors else () for name in self.names
        )
        short = [(name, len(row)) for name, row in zip(self.names, rows, strict=True) if len(row) < count]
        if short:
            examples = ", ".join(f"'{name}' has {found}" for name, found in short[:3])
            raise LabelSpaceError(
                f"{len(short)} of {len(self)} classes of the label space {self.origin} have fewer than {count} "
                f"{kind} descriptors "
                f"({examples}). Add them to descriptors.json there, ask for fewer (descriptors_per_class), or use "
                f"the matcher CategoryName, "
                "which needs none."
            )
        return rows


def _read_descriptors(file: Path) -> tuple[dict[str, Descriptors], Mapping[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
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
    descriptors = {}
    for name, entry in content["classes"].items():
        lists = [entry.get(kind, []) if isinstance(entry, dict) else None for kind in ("spatio", "temporal")]
        for texts in lists:
            if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
                raise LabelSpaceError(
                    f'{file}: the class \'{name}\' must have "spatio" and "temporal" lists of non-empty texts.'
                )
        descriptors[name] = Descriptors(*(tuple(texts or ()) for texts in lists))
    return descriptors, content.get("provenance", {})
