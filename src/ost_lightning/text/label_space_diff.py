"""Differences between the descriptors of two label spaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ost_lightning.text.label_files import LISTED_KINDS
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True)
class ListDifference:
    """Difference between two lists of descriptors of one class and kind.

    Attributes:
        name: Class name.
        kind: Kind of the descriptors; `name` for rephrased names.
        removed: Descriptors that only the first list has.
        added: Descriptors that only the second list has.
        reordered: Whether the common descriptors are in a different order.
    """

    name: str
    kind: SentenceKind
    removed: tuple[str, ...]
    added: tuple[str, ...]
    reordered: bool


@dataclass(frozen=True, slots=True)
class LabelSpaceDifference:
    """Differences between two label spaces.

    Attributes:
        removed: Classes that only the first label space has.
        added: Classes that only the second label space has.
        same_order: Whether the common classes are in the same order.
        lists: Differences between lists of descriptors of common classes.
        kept: Number of common descriptors.
        provenance: Provenance values that differ, as (first, second) by key.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    same_order: bool
    lists: tuple[ListDifference, ...]
    kept: int
    provenance: Mapping[str, tuple[Any, Any]]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.lists or self.provenance or not self.same_order)


def compare(first: LabelSpace, second: LabelSpace) -> LabelSpaceDifference:
    """Compares two label spaces class by class; descriptors are equal if their texts are."""
    of_first, of_second = set(first.names), set(second.names)
    common = [name for name in first.names if name in of_second]
    lists, kept = [], 0
    for name in common:
        for kind in LISTED_KINDS:
            before, after = _texts(first, name, kind), _texts(second, name, kind)
            common_texts = [text for text in before if text in after]
            kept += len(common_texts)
            if before != after:
                lists.append(
                    ListDifference(
                        name,
                        kind,
                        tuple(text for text in before if text not in after),
                        tuple(text for text in after if text not in before),
                        common_texts != [text for text in after if text in before],
                    )
                )
    keys = sorted(first.provenance.keys() | second.provenance.keys())
    values = {key: (first.provenance.get(key), second.provenance.get(key)) for key in keys}
    return LabelSpaceDifference(
        tuple(name for name in first.names if name not in of_second),
        tuple(name for name in second.names if name not in of_first),
        common == [name for name in second.names if name in of_first],
        tuple(lists),
        kept,
        {key: pair for key, pair in values.items() if pair[0] != pair[1]},
    )


def _texts(labels: LabelSpace, name: str, kind: SentenceKind) -> tuple[str, ...]:
    if (entry := labels.descriptors.get(name)) is None:
        return ()
    return {"name": entry.rephrased, "spatio": entry.spatio, "temporal": entry.temporal}[kind]
