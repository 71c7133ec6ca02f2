"""Checks of descriptors that find mistakes before training."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ost_lightning.characters import control_characters, escaped
from ost_lightning.text.alike_names import alike_names
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.text.templates import Templates
from ost_lightning.text.token_count import TokenCount
from ost_lightning.text.typography import BULLETS, DASHES, DOUBLE_QUOTES, QUOTES
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

Severity = Literal["error", "warning"]
Rule = Literal[
    "missing",
    "extra",
    "count",
    "duplicate",
    "numbering",
    "quotes",
    "too long",
    "control character",
    "alike",
    "shared",
    "unsupported",
    "class name",
    "markup",
    "non-ASCII",
]
SEVERITY: Final[dict[Rule, Severity]] = {
    "missing": "error",
    "extra": "error",
    "count": "error",
    "duplicate": "error",
    "numbering": "error",
    "quotes": "error",
    "too long": "error",
    "control character": "error",
    "alike": "warning",
    "shared": "warning",
    "unsupported": "warning",
    "class name": "warning",
    "markup": "warning",
    "non-ASCII": "warning",
}

_NUMBERING: Final = re.compile(
    rf"\s*(?:[{re.escape(DASHES + BULLETS)}]\s|\(?\d{{1,3}}[.):](?!\d)|step\s+\d{{1,3}}\b|#\d)", re.IGNORECASE
)
_MARKUP: Final = re.compile(r"\*\*|__|`|<[^>]*>|\[[^\]]*\]\(|\\n|\{|\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, or a possible one.

    Attributes:
        rule: Violated rule.
        name: Class name.
        kind: Kind of the descriptor, or `name` for a rephrased name; None for a finding about the class itself.
        text: Text of the descriptor; empty for a finding about the list.
        detail: Description of what was found.
    """

    rule: Rule
    name: str
    kind: SentenceKind | None = None
    text: str = ""
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """Severity of the rule: errors make descriptors unusable, warnings need a person's judgment."""
        return SEVERITY[self.rule]

    def __str__(self) -> str:
        text = f" '{self.text}'" if self.text else ""
        kind = f" ({self.kind})" if self.kind else ""
        return escaped(f"{self.name}{kind}:{text}{f' {self.detail}' if self.detail else ''}")


def lint(labels: LabelSpace, templates: Templates, tokens: TokenCount, per_class: int | None = None) -> list[Finding]:
    """Checks the descriptors of a label space without a model.

    Args:
        labels: Classes with descriptors.
        templates: Sentence templates; the length limit applies to the complete sentence.
        tokens: Token counter of the tokenizer.
        per_class: Expected number of descriptors per list; None for the most common number.

    Returns:
        Findings grouped by rule, errors first; within a rule, in the order of the classes.
    """
    expected = per_class or _most_common_count(labels)
    findings = [*_class_findings(labels), *_alike_names(labels, tokens)]
    for name, kind, texts in _lists(labels):
        found = _list_findings(name, kind, texts, expected)
        findings += [finding for finding in found if finding.rule != "non-ASCII" or labels.language == "en"]
    findings += _rephrased_findings(labels)
    findings += _shared_descriptors(labels)
    findings += _long_sentences(labels, templates, tokens)
    findings += _long_rephrased_names(labels, templates, tokens)
    order = list(SEVERITY)
    return sorted(findings, key=lambda finding: order.index(finding.rule))


def _lists(labels: LabelSpace) -> Iterator[tuple[str, DescriptorKind, tuple[str, ...]]]:
    for name in labels.names:
        if entry := labels.descriptors.get(name):
            yield name, "spatio", entry.spatio
            yield name, "temporal", entry.temporal


def _most_common_count(labels: LabelSpace) -> int:
    counts = Counter(len(texts) for _, _, texts in _lists(labels))
    return counts.most_common(1)[0][0] if counts else 0


def _class_findings(labels: LabelSpace) -> Iterator[Finding]:
    for name in labels.names:
        if name not in labels.descriptors:
            yield Finding("missing", name, detail="has no descriptors")
    classes = set(labels.names)
    for name in labels.descriptors:
        if name not in classes:
            yield Finding("extra", name, detail="is not a class of this label space")
    for name in dict.fromkeys((*labels.names, *labels.published)):
        yield from _control_characters(name)


def _control_characters(name: str, kind: SentenceKind | None = None, text: str = "") -> Iterator[Finding]:
    if codes := control_characters(text or name):
        shown = " and ".join(codes[:3]) + (" and others" if len(codes) > 3 else "")
        yield Finding("control character", name, kind, text, f"contains {shown}")


def _alike_names(labels: LabelSpace, tokens: TokenCount) -> Iterator[Finding]:
    for first, *others in alike_names(
        labels.names, tokens.read or (lambda texts: [normalized(text) for text in texts])
    ):
        if first:
            same = ", ".join(f"'{name}'" for name in others)
            yield Finding("alike", first, detail=f"is the same text as {same} ({tokens.tokenizer})")
        else:
            for name in others:
                yield Finding("alike", name, detail=f"is an empty text ({tokens.tokenizer})")


def _list_findings(name: str, kind: DescriptorKind, texts: Sequence[str], expected: int) -> Iterator[Finding]:
    if not texts:
        yield Finding("missing", name, kind, detail="has no descriptors")
    elif len(texts) != expected:
        yield Finding("count", name, kind, detail=f"has {len(texts)}, expected {expected}")
    class_name = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
    yield from _text_findings(name, kind, texts)
    for text in texts:
        if class_name.search(text):
            yield Finding("class name", name, kind, text, "contains the class name")


def _rephrased_findings(labels: LabelSpace) -> Iterator[Finding]:
    """Checks rephrased names, which may contain the name itself and are optional."""
    rows = {name: labels.descriptors[name].rephrased for name in labels.names if name in labels.descriptors}
    counts = Counter(len(texts) for texts in rows.values() if texts)
    expected = counts.most_common(1)[0][0] if counts else 0
    for name, texts in rows.items():
        if len(texts) != expected:
            yield Finding("count", name, "name", detail=f"has {len(texts)} rephrased names, expected {expected}")
        for found in _text_findings(name, "name", texts):
            if found.rule != "non-ASCII" or labels.language == "en":
                yield found


def _text_findings(name: str, kind: SentenceKind, texts: Sequence[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for text in texts:
        if normalized(text) in seen:
            yield Finding("duplicate", name, kind, text, "occurs twice")
        seen.add(normalized(text))
        if _NUMBERING.match(text):
            yield Finding("numbering", name, kind, text, "begins with a number or bullet")
        if _is_quoted(text):
            yield Finding("quotes", name, kind, text, "is quoted")
        if _MARKUP.search(text):
            yield Finding("markup", name, kind, text, "contains markup")
        yield from _control_characters(name, kind, text)
        if not text.isascii():
            characters = "".join(sorted({character for character in text if not character.isascii()}))
            yield Finding("non-ASCII", name, kind, text, f"contains {characters}")


def _is_quoted(text: str) -> bool:
    """Returns whether a text is enclosed in quotes or has an unmatched one; quoted words inside it are allowed."""
    if text[0] in QUOTES and text[-1] in QUOTES:
        return True
    return sum(text.count(mark) for mark in DOUBLE_QUOTES) == 1


def _shared_descriptors(labels: LabelSpace) -> Iterator[Finding]:
    for kind in DESCRIPTOR_KINDS:
        owners: dict[str, list[str]] = defaultdict(list)
        originals: dict[str, str] = {}
        for name, listed, texts in _lists(labels):
            if listed == kind:
                for text in dict.fromkeys(map(normalized, texts)):
                    owners[text].append(name)
                originals |= {normalized(text): text for text in texts}
        for text, names in owners.items():
            if len(names) > 1:
                others = ", ".join(f"'{name}'" for name in names[1:4]) + (", ..." if len(names) > 4 else "")
                yield Finding("shared", names[0], kind, originals[text], f"is also a descriptor of {others}")


def _long_sentences(labels: LabelSpace, templates: Templates, tokens: TokenCount) -> Iterator[Finding]:
    sources = [(name, kind, text) for name, kind, texts in _lists(labels) for text in texts]
    for short in (False, True):
        sentences = [templates.sentence(kind, name, text, short=short) for name, kind, text in sources]
        lengths = tokens.count(sentences) if sentences else ()
        too_long = [(source, length) for source, length in zip(sources, lengths, strict=True) if length > tokens.limit]
        if not templates.short:
            break
        sources = [source for source, _ in too_long]
    for source, length in too_long:
        template = "short template" if source[1] in templates.short else "template"
        yield Finding(
            "too long", *source, f"has {length} tokens in its {template}, limit {tokens.limit} ({tokens.tokenizer})"
        )


def _long_rephrased_names(labels: LabelSpace, templates: Templates, tokens: TokenCount) -> Iterator[Finding]:
    """Checks rephrased names in the longest template of names."""
    sources = [(name, text) for name, entry in labels.descriptors.items() for text in entry.rephrased]
    longest = max(templates.name, key=len)
    lengths = tokens.count([longest.format(name=text) for _, text in sources]) if sources else ()
    for (name, text), length in zip(sources, lengths, strict=True):
        if length > tokens.limit:
            detail = f"has {length} tokens in its template, limit {tokens.limit} ({tokens.tokenizer})"
            yield Finding("too long", name, "name", text, detail)


def normalized(text: str) -> str:
    """Returns a text without the differences that are ignored: case, extra spaces and a final period."""
    return " ".join(text.casefold().split()).rstrip(".")
