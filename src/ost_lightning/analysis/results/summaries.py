"""Figures over several sets of one run: mean and spread over splits, harmonic mean of base and novel."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import harmonic_mean, mean, stdev
from typing import Final, Literal

from ost_lightning.analysis.results.published_lists import published_lists
from ost_lightning.analysis.results.run_results import DataCard, Score, SetResult, Summary

_HALVES: Final = ("base", "novel")
_WHAT_DIFFERS: Final = {
    "list": "list",
    "label_space": "label space",
    "name_form": "form of the class names",
    "sentences": "sentences",
}
_SHORT: Final = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """Sets of one data set that may be combined, because they differ in nothing but their part.

    Attributes:
        benchmark: Data set.
        kind: Kind of the parts.
        list: Difference from the data set's usual lists, such as `validation part`; empty if there is none.
        label_space: Name of the classes; empty if each part has its own published classes.
        name_form: Form of the class names.
        sentences: Digest of the sentences; of the complete label space if each part has its own classes.
    """

    benchmark: str
    kind: Literal["splits", "halves"]
    list: str
    label_space: str
    name_form: str
    sentences: str


def parts_of(card: DataCard) -> Parts | None:
    """Returns what a set may be combined with; None if it is no part of a published data set."""
    if card.benchmark is None or card.part is None:
        return None
    part, _, qualifier = card.part.partition(", ")
    if part not in _HALVES and not part.startswith("split "):
        return None
    kind: Literal["splits", "halves"] = "halves" if part in _HALVES else "splits"
    own_classes = {
        entry.name: entry.label_space
        for entry in published_lists()
        if entry.benchmark == card.benchmark
        and (entry.part in _HALVES if kind == "halves" else entry.is_split)
        and entry.part.partition(", ")[2] == qualifier
    }
    if len(set(own_classes.values())) > 1:  # as the splits of Kinetics-600 have
        published = card.label_space == own_classes.get(card.list or "")
        space, sentences = "" if published else card.label_space, card.vocabulary or ""
    else:
        space, sentences = card.label_space, " ".join(value for _, value in sorted((card.sentences or {}).items()))
    return Parts(card.benchmark, kind, qualifier, space, card.name_form, sentences)


def summarize(sets: Mapping[str, SetResult]) -> list[Summary]:
    """Returns means over the splits of a data set, and over its base and novel classes.

    Sets of one data set whose part is named `split ...` are averaged, with the sample standard deviation (divisor
    n - 1). A base and a novel set of one data set give their harmonic mean. Sets that differ in their list, label
    space, form of the class names or sentences are never combined; `not_combined` names them.

    Args:
        sets: Results by name of the set.
    """
    groups = _groups({name: result.card for name, result in sets.items()})
    summaries = []
    for parts, names in groups.items():
        if len(set(names.values())) < len(names) or not _complete(parts, names):
            continue
        title = _title(parts, [other for other in groups if _same_data(other, parts)])
        members = {name: sets[name].scores for name in names}
        for weights in next(iter(members.values())):
            scores = [scores[weights] for scores in members.values() if weights in scores]
            if len(scores) < len(members):
                continue
            combine = _over_splits if parts.kind == "splits" else _harmonic
            summary = combine(parts.benchmark, title, weights, scores)
            summaries.append(replace(summary, sets=tuple(names)))
    return summaries


def not_combined(sets: Mapping[str, SetResult]) -> list[str]:
    """Returns sentences on sets of one data set that are not averaged with each other, and the reason.

    Args:
        sets: Results by name of the set.
    """
    groups = _groups({name: result.card for name, result in sets.items()})
    sentences = []
    for parts, names in groups.items():
        others = [other for other in groups if _same_data(other, parts)]
        several = len({part for other in others for part in groups[other].values()}) > 1
        if several and len(others) > 1 and parts == others[0]:
            differing = " and ".join(_WHAT_DIFFERS[field] for field in _differences(others))
            listed = "; ".join(" and ".join(groups[other]) for other in others)
            sentences.append(f"{parts.benchmark}: no mean over sets that differ in {differing}, which are: {listed}.")
        for part in dict.fromkeys(names.values()):
            same = [name for name, other in names.items() if other == part]
            if len(same) > 1:
                sentences.append(
                    f"{parts.benchmark}: no mean, because {' and '.join(same)} are both its {part}; test one of them."
                )
    return sentences


def split_titles(cards: Mapping[str, DataCard]) -> dict[str, str]:
    """Returns the name of the data set of each set that is one of its splits.

    Sets with the same name may be averaged. A part that occurs twice has no name, because it is unclear which one to
    take.

    Args:
        cards: Conditions by name of the set.
    """
    groups = _groups(cards)
    return {
        name: _title(parts, [other for other in groups if _same_data(other, parts)])
        for parts, names in groups.items()
        if parts.kind == "splits" and len(set(names.values())) == len(names)
        for name in names
    }


def _groups(cards: Mapping[str, DataCard]) -> dict[Parts, dict[str, str]]:
    """Returns the sets that may be combined: part by name of the set. A list that is given twice counts once."""
    groups: dict[Parts, dict[str, str]] = {}
    seen: set[tuple[object, ...]] = set()
    for name, card in cards.items():
        parts = parts_of(card)
        if parts is None or card.part is None:
            continue
        sentences = name if card.sentences is None else tuple(sorted(card.sentences.items()))
        content = (parts, card.part, card.digest, card.labels, sentences)
        if content not in seen:
            groups.setdefault(parts, {})[name] = card.part.partition(", ")[0]
        seen.add(content)
    return groups


def _complete(parts: Parts, names: Mapping[str, str]) -> bool:
    return len(names) > 1 if parts.kind == "splits" else set(names.values()) == set(_HALVES)


def _same_data(one: Parts, other: Parts) -> bool:
    return (one.benchmark, one.kind) == (other.benchmark, other.kind)


def _differences(groups: list[Parts]) -> Iterator[str]:
    """Yields the fields in which groups of one data set differ."""
    for field in _WHAT_DIFFERS:
        if len({getattr(parts, field) for parts in groups}) > 1:
            yield field


def _title(parts: Parts, alternatives: list[Parts]) -> str:
    """Returns the name of a group, with what distinguishes it from the others of its data set."""
    differing = [field for field in _differences(alternatives) if field != "list"]
    words = [getattr(parts, field)[: _SHORT if field == "sentences" else None] for field in differing]
    listed = [parts.list] if parts.list else []
    apart = f" ({', '.join(word for word in words if word)})" if any(words) else ""
    return ", ".join([f"{parts.benchmark}{apart}", *listed])


def _over_splits(benchmark: str, title: str, weights: str, splits: list[Score]) -> Summary:
    first, fifth = [score.top1 for score in splits], [score.top5 for score in splits]
    what = f"{title}, mean of {len(splits)} splits"
    return Summary(what, benchmark, weights, mean(first), mean(fifth), stdev(first), stdev(fifth))


def _harmonic(benchmark: str, title: str, weights: str, halves: list[Score]) -> Summary:
    first, fifth = [score.top1 for score in halves], [score.top5 for score in halves]
    what = f"{title}, harmonic mean of base and novel"
    return Summary(what, benchmark, weights, harmonic_mean(first), harmonic_mean(fifth))
