"""Templates that turn a label space into the sentences that CLIP encodes."""

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import yaml

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.text.token_count import TokenCount
from ost_lightning.vocabulary import SENTENCE_KINDS, DescriptorKind, SentenceKind

_PUBLISHED: Final = "published_names"
_SHORT: Final = "short"
_SLOTS: Final[dict[SentenceKind, frozenset[str]]] = {
    "name": frozenset({"name"}),
    "spatio": frozenset({"name", "descriptor"}),
    "temporal": frozenset({"name", "descriptor"}),
}


@dataclass(frozen=True, slots=True)
class SentenceSet:
    """Sentences of all classes, by kind.

    Attributes:
        sentences: K rows by kind, each with the same number of sentences, in the order of the label space.
        labels: Label space that the sentences are of; None if they are of none.
    """

    sentences: Mapping[SentenceKind, tuple[tuple[str, ...], ...]]
    labels: LabelSpace | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Templates:
    """Sentence templates with the slots `{name}` and `{descriptor}`.

    Attributes:
        name: Templates for category names, and for rephrased names in their place; several form an ensemble.
        spatio: Template for Spatio Descriptors.
        temporal: Template for Temporal Descriptors.
        published_names: Names of label spaces whose class names are inserted in the publisher's spelling
            (`ApplyEyeMakeup`) instead of as words.
        short: Templates by kind for sentences that are too long for the text tower.
        origin: File of the templates, for messages.
    """

    name: tuple[str, ...]
    spatio: str
    temporal: str
    published_names: tuple[str, ...] = ()
    short: Mapping[SentenceKind, str] = field(default_factory=dict)
    origin: str = field(default="given in code", compare=False)

    def __post_init__(self) -> None:
        for template in self.name:
            self._check("name", template)
        self._check("spatio", self.spatio)
        self._check("temporal", self.temporal)
        for kind, template in self.short.items():
            self._check(kind, template)

    def _check(self, kind: SentenceKind, template: str) -> None:
        slots = {slot for _, slot, _, _ in string.Formatter().parse(template) if slot is not None}
        needed = "name" if kind == "name" else "descriptor"
        if needed not in slots or slots - _SLOTS[kind]:
            allowed = " and ".join(f"{{{slot}}}" for slot in sorted(_SLOTS[kind]))
            raise UserError(
                f"The {kind} template '{template}' ({self.origin}) must contain {{{needed}}}, and nothing but "
                f"{allowed} in braces."
            )

    @classmethod
    def load(cls, name_or_file: str) -> Self:
        """Reads shipped templates by name (`ost`), or a YAML file with the keys `name`, `spatio` and `temporal`.

        The keys `published_names` and `short` are optional.

        Raises:
            UserError: If no templates have that name, or the file is malformed.
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
            raise UserError(f"{file}: {_PUBLISHED} must be a list of label space names.")
        short = content.pop(_SHORT, {}) if isinstance(content, dict) else {}
        if not isinstance(short, dict) or not set(short) <= set(SENTENCE_KINDS) or not _are_strings(short.values()):
            raise UserError(
                f"{file}: {_SHORT} must be a mapping from {', '.join(SENTENCE_KINDS)}, or some of these, to a template."
            )
        if not isinstance(content, dict) or set(content) != set(SENTENCE_KINDS):
            raise UserError(f"{file} must be a mapping with exactly the keys {', '.join(SENTENCE_KINDS)}.")
        names = content["name"] if isinstance(content["name"], list) else [content["name"]]
        templates = [*names, content["spatio"], content["temporal"]]
        if not names or not all(isinstance(template, str) for template in templates):
            raise UserError(f"{file}: every template must be a string (`name` may be a list of strings).")
        return cls(tuple(names), content["spatio"], content["temporal"], tuple(published), short, origin=str(file))

    def apply(
        self, labels: LabelSpace, kinds: tuple[SentenceKind, ...], count: int, tokens: TokenCount | None = None
    ) -> SentenceSet:
        """Fills in the templates.

        Args:
            labels: Class names and descriptors.
            kinds: Kinds of sentences to return.
            count: Number N of descriptors per class and kind; the first N of each list are used.
            tokens: Token counter of the text tower, for choosing between long and short templates; None for the long
                ones.

        Raises:
            UserError: If a class has fewer than N descriptors of a requested kind.
        """
        spelled = self.spelling(labels)
        return SentenceSet({kind: self._rows(spelled, kind, count, tokens) for kind in kinds}, labels)

    def _rows(
        self, labels: LabelSpace, kind: SentenceKind, count: int, tokens: TokenCount | None
    ) -> tuple[tuple[str, ...], ...]:
        """Returns the sentences of one kind: for each class, one per template and wording, or per descriptor."""
        if kind == "name":
            filled = [[(template, name, "") for name in row for template in self.name] for row in labels.wordings()]
        else:
            template = self._template(kind)
            rows = zip(labels.names, labels.descriptors_of(kind, count), strict=True)
            filled = [[(template, name, text) for text in row] for name, row in rows]
        sentences = [[template.format(name=name, descriptor=text) for template, name, text in row] for row in filled]
        if (short := self.short.get(kind)) is not None and tokens is not None:
            lengths = iter(tokens.count([sentence for row in sentences for sentence in row]))
            sentences = [
                [
                    sentence if next(lengths) <= tokens.limit else short.format(name=name, descriptor=text)
                    for sentence, (_, name, text) in zip(row, parts, strict=True)
                ]
                for row, parts in zip(sentences, filled, strict=True)
            ]
        return tuple(tuple(row) for row in sentences)

    def spells_as_published(self, labels: LabelSpace) -> bool:
        """Returns whether the class names of a label space are inserted in the publisher's spelling."""
        return labels.names == labels.published or Path(labels.origin).name in self.published_names

    def spelling(self, labels: LabelSpace) -> LabelSpace:
        """Returns a label space with the class names as they are inserted."""
        return labels.as_published() if self.spells_as_published(labels) else labels

    def sentence(self, kind: DescriptorKind, name: str, descriptor: str, *, short: bool = False) -> str:
        """Returns the sentence for one descriptor of a class.

        Args:
            kind: Kind of the descriptor.
            name: Class name.
            descriptor: Text of the descriptor.
            short: Whether to use the short template, if there is one.
        """
        template = self.short.get(kind, self._template(kind)) if short else self._template(kind)
        return template.format(name=name, descriptor=descriptor)

    def _template(self, kind: DescriptorKind) -> str:
        return self.spatio if kind == "spatio" else self.temporal


def _are_strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
