"""The sentences of one class as rows of a table that people edit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ost_lightning.app.state.class_names import MAX_LENGTH
from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind

KINDS: Final[dict[DescriptorKind, str]] = {"spatio": "what is visible", "temporal": "what happens"}
"""Kinds of descriptors in words, in the order of the rows."""
HEADERS: Final = ("Kind", "Sentence")


def table_rows(labels: LabelSpace, name: str, count: int) -> list[list[str]]:
    """Returns the sentences of a class as rows: kind in words, and the sentence.

    Args:
        labels: Classes.
        name: Name of the class.
        count: Number of sentences of each kind.

    Returns:
        2 x `count` rows. A class without sentences has its name in each of them.
    """
    known = labels.descriptors.get(name)
    rows = []
    for kind in DESCRIPTOR_KINDS:
        sentences = (name,) * count if known is None else getattr(known, kind)[:count]
        rows += [[KINDS[kind], sentence] for sentence in sentences]
    return rows


def edited(labels: LabelSpace, name: str, rows: Sequence[Sequence[object]], count: int) -> LabelSpace:
    """Returns classes with the sentences that a person wrote for one of them.

    If no class had sentences, each of the others gets its own name as all of its sentences.

    Args:
        labels: Classes.
        name: Name of the class whose sentences were edited.
        rows: Rows of its table; the kind of each row follows from its place.
        count: Number of sentences of each kind.

    Raises:
        UserError: If there is no such class, or rows are missing, empty or too long.
    """
    if name not in labels.names:
        raise UserError(f"There is no class {escaped(name[:MAX_LENGTH])!r} any more: choose one of the list.")
    if len(rows) != len(DESCRIPTOR_KINDS) * count:
        raise UserError(
            f"The table has {len(rows)} rows: expected {count} of each kind. Change sentences, but leave the rows."
        )
    sentences = []
    for place, row in enumerate(rows, 1):
        text = " ".join(str(row[-1] if row and row[-1] is not None else "").split())
        if not text:
            raise UserError(f"Row {place} of the table is empty: write a sentence.")
        if len(text) > MAX_LENGTH:
            raise UserError(f"Row {place} has {len(text):,} characters: expected at most {MAX_LENGTH}.")
        sentences.append(text)
    new = Descriptors(tuple(sentences[:count]), tuple(sentences[count:]))
    old = labels.descriptors.get(name)
    if old is not None:
        # what the table doesn't show stays behind what it shows
        new = Descriptors(new.spatio + old.spatio[count:], new.temporal + old.temporal[count:], old.rephrased)
    others = {other: Descriptors((other,) * count, (other,) * count) for other in labels.names}
    provenance = {**labels.provenance, "edited": "by hand, in the app"}
    return replace(labels, descriptors={**others, **labels.descriptors, name: new}, provenance=provenance)
