"""From a label space to the sentences that CLIP reads."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import yaml

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import SENTENCE_KINDS, DescriptorKind, SentenceKind

_PUBLISHED: Final = "published_names"
_SLOTS: Final[dict[SentenceKind, frozenset[str]]] = {
    "name": frozenset({"name"}),
    "spatio": frozenset({"name", "descriptor"}),
    "temporal": frozenset({"name", "descriptor"}),
}


@dataclass(frozen=True, slots=True)
class SentenceSet:
    """Sentences of all classes, by kind.

    Attributes:
        sentences: K rows of equally many sentences by kind, in the order of the label space.
    """

    sentences: Mapping[SentenceKind, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, slots=True)
class Templates:
    """Sentence templates with the slots `{name}` and `{descriptor}`.

    Attributes:
        name: Templates for category names; several give an ensemble.
        spatio: Template for Spatio Descriptors.
        temporal: Template for Temporal Descriptors.
        published_names: Label spaces whose class names go into the sentences as the publisher spells them
            (`ApplyEyeMakeup`), not as words.
        origin: File that they were read from, for messages.
    """

    name: tuple[str, ...]
    spatio: str
    temporal: str
    published_names: tuple[str, ...] = ()
    origin: str = field(default="given in code", compare=False)

    def __post_init__(self) -> None:
        for template in self.name:
            self._check("name", template)
        self._check("spatio", self.spatio)
        self._check("temporal", self.temporal)

    def _check(self, kind: SentenceKind, template: str) -> None:
        slots = {slot for _, slot, _, _ in string.Formatter().parse(template) if slot is not None}
        needed = "name" if kind == "name" else "descriptor"
        if needed not in slots or slots - _SLOTS[kind]:
            allowed = " and ".join(f"{{{slot}}}" for slot in sorted(_SLOTS[kind]))
            raise UserError(
                f"The {kind} template '{template}' ({self.origin}) must hold {{{needed}}}; it may hold {allowed}, "
                f"nothing else in braces."
            )

    @classmethod
    def load(cls, name_or_file: str) -> Self:
        """Reads templates that come with the package (`ost`) or a YAML file with the keys name, spatio, temporal.

        The key `published_names` is optional.

        Raises:
            UserError: If there are none under that name, or the file is malformed.
        """
        folder = shipped("prompts") / "sentences"
        file = Path(name_or_file) if name_or_file.endswith((".yaml", ".yml")) else folder / f"{name_or_file}.yaml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise UserError(
                f"There are no sentence templates '{name_or_file}'. Expected a YAML file or one of: {known}."
            )
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        published = content.pop(_PUBLISHED, []) if isinstance(content, dict) else []
        if not isinstance(published, list) or not all(isinstance(name, str) for name in published):
            raise UserError(f"{file}: {_PUBLISHED} must be a list of names of label spaces.")
        if not isinstance(content, dict) or set(content) != set(SENTENCE_KINDS):
            raise UserError(f"{file} must be a mapping with exactly the keys {', '.join(SENTENCE_KINDS)}.")
        names = content["name"] if isinstance(content["name"], list) else [content["name"]]
        texts = [*names, content["spatio"], content["temporal"]]
        if not names or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{file}: every template must be a text (name may be a list of texts).")
        return cls(tuple(names), content["spatio"], content["temporal"], tuple(published), origin=str(file))

    def apply(self, labels: LabelSpace, kinds: tuple[SentenceKind, ...], count: int) -> SentenceSet:
        """Fills the templates.

        Args:
            labels: Class names and descriptors.
            kinds: Kinds of sentence that are needed.
            count: Number of descriptors per class and kind (N); the first N of each list are taken.

        Raises:
            UserError: If a class has fewer than N descriptors of a needed kind.
        """
        if self.spells_as_published(labels):
            labels = labels.as_published()
        sentences: dict[SentenceKind, tuple[tuple[str, ...], ...]] = {}
        for kind in kinds:
            if kind == "name":
                sentences[kind] = tuple(
                    tuple(template.format(name=name) for template in self.name) for name in labels.names
                )
                continue
            rows = zip(labels.names, labels.descriptors_of(kind, count), strict=True)
            sentences[kind] = tuple(tuple(self.sentence(kind, name, text) for text in row) for name, row in rows)
        return SentenceSet(sentences)

    def spells_as_published(self, labels: LabelSpace) -> bool:
        """Whether the class names of a label space go in as its publisher spells them."""
        return labels.names == labels.published or Path(labels.origin).name in self.published_names

    def sentence(self, kind: DescriptorKind, name: str, descriptor: str) -> str:
        """The sentence of one descriptor of a class."""
        template = self.spatio if kind == "spatio" else self.temporal
        return template.format(name=name, descriptor=descriptor)
