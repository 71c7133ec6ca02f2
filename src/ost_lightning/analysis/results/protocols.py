"""The four protocols of the paper, and differences between a run and its protocol."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

import yaml

from ost_lightning.analysis.results.published_lists import PublishedList, list_named, published_lists
from ost_lightning.analysis.results.run_results import SetResult
from ost_lightning.resources import shipped

Protocol = Literal["zero_shot", "few_shot", "base_to_novel", "supervised"]
"""Protocol of a score: `zero_shot` on classes and videos not trained on, `few_shot` after training on K videos per
class, `base_to_novel` after 16 shots of half of the classes, `supervised` after training on all videos."""

PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
_TOLERANCE: Final = 0.01
"""Largest relative difference between the length of a list and that of other copies that needs no remark."""
_UNKNOWN_TRAINING: Final = "the training data of the checkpoint is unknown."
_Sets = Mapping[str, SetResult]
_Training = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ProtocolRules:
    """Requirements of a protocol.

    Attributes:
        lists: Published lists to test on.
        expected: Description of these lists, in words.
        trained_on: Label space for training; None if the protocol allows any.
        shots: Allowed numbers of training videos per class; empty for full training.
    """

    lists: tuple[PublishedList, ...]
    expected: str
    trained_on: str | None = None
    shots: tuple[int, ...] = ()

    def list_of(self, result: SetResult) -> PublishedList | None:
        """Returns the protocol's list that a set consists of, or None if it is none of them."""
        return next((entry for entry in self.lists if entry.name == result.card.list), None)

    def parts_of(self, benchmark: str) -> list[str]:
        """Returns the parts of a data set that the protocol tests."""
        return [entry.part for entry in self.lists if entry.benchmark == benchmark]


@cache
def protocol_rules() -> Mapping[Protocol, ProtocolRules]:
    """Reads the rules in `data/protocols.yaml`."""
    content = yaml.safe_load((shipped("data") / "protocols.yaml").read_text(encoding="utf-8"))
    lists = {entry.name: entry for entry in published_lists()}
    return {
        name: ProtocolRules(
            lists=tuple(lists[entry] for entry in content[name]["lists"]),
            expected=content[name]["expected"],
            trained_on=content[name].get("trained_on"),
            shots=tuple(content[name].get("shots", ())),
        )
        for name in PROTOCOLS
    }


def remarks(protocol: Protocol | None, sets: _Sets, training: _Training, clips: Mapping[str, Any]) -> list[str]:
    """Returns sentences on incomplete data and on differences from the protocol.

    Args:
        protocol: Protocol named by the experiment; None to check only the counts.
        sets: Results by name of the set.
        training: Record of the checkpoint's training data (see `TrainingRecord`); None if unknown.
        clips: Numbers of frames, views and crops per video.
    """
    sentences = [sentence for name, result in sets.items() for sentence in _counts(name, result)]
    if protocol is not None:
        if clips["views"] * clips["crops"] > 1:
            views = f"{clips['views']} x {clips['crops']}"
            sentences.append(
                f"Not the protocol {protocol}: {views} views of each video are averaged, but the paper scores one."
            )
        differences = _CHECKS[protocol](protocol_rules()[protocol], sets, training)
        sentences += [f"Not the protocol {protocol}: {difference}" for difference in differences]
    return sentences


def _counts(name: str, result: SetResult) -> Iterator[str]:
    card = result.card
    if card.found < card.listed:
        yield f"{name}: {card.listed - card.found:,} of {card.listed:,} listed videos are missing."
    for scored in sorted({score.scored for score in result.scores.values()}):
        if scored != card.listed:
            yield f"{name}: only {scored:,} of {card.listed:,} listed videos were scored."
    undecodable = max((score.undecodable for score in result.scores.values()), default=0)
    if undecodable:
        yield f"{name}: {undecodable:,} of {card.listed:,} videos could not be read and count as wrong."
    if card.in_training:
        yield f"{name}: {card.in_training:,} of {card.listed:,} videos were in the checkpoint's training data."
    published = list_named(card.list)
    if published is not None and published.about is not None and abs(card.listed / published.about - 1) > _TOLERANCE:
        yield f"{name}: the list has {card.listed:,} videos; copies of {card.list} have about {published.about:,}."


def _zero_shot(rules: ProtocolRules, sets: _Sets, training: _Training) -> Iterator[str]:
    if training is not None and training["label_space"] != rules.trained_on:
        yield f"the checkpoint was trained on {training['label_space']}, not on {rules.trained_on}."
    yield from _full_training(training)
    tested: dict[str, set[str]] = {}
    for name, result in sets.items():
        if (entry := rules.list_of(result)) is None:
            yield _unexpected(rules, name, result)
        else:
            tested.setdefault(entry.benchmark, set()).add(entry.part)
    for benchmark, parts in tested.items():
        expected = rules.parts_of(benchmark)
        if len(parts) < len(expected):
            yield f"{benchmark} was tested only on {', '.join(sorted(parts))}, not on all {len(expected)} splits."


def _few_shot(rules: ProtocolRules, sets: _Sets, training: _Training) -> Iterator[str]:
    for name, result in sets.items():
        if rules.list_of(result) is not None:
            continue
        card = result.card
        splits = [entry.part for entry in rules.lists if entry.benchmark == card.benchmark and entry.is_split]
        if not splits or (card.part or "").startswith(splits[0]):
            yield _unexpected(rules, name, result)
            continue
        yield (
            f"{name} is {card.benchmark}, {card.part}; few-shot scores are those of {splits[0]}, because the training "
            f"videos of {splits[0]} are test videos of the others."
        )
    if training is None:
        yield _UNKNOWN_TRAINING
        return
    yield from _shots(rules, training)
    yield from _same_classes(sets, training)


def _base_to_novel(rules: ProtocolRules, sets: _Sets, training: _Training) -> Iterator[str]:
    tested: dict[str, PublishedList] = {}
    for name, result in sets.items():
        if (entry := rules.list_of(result)) is None:
            yield _unexpected(rules, name, result)
        else:
            tested[name] = entry
    for benchmark in dict.fromkeys(entry.benchmark for entry in tested.values()):
        parts = {entry.part for entry in tested.values() if entry.benchmark == benchmark}
        for part in rules.parts_of(benchmark):
            if part not in parts:
                yield f"{benchmark} was not tested on its {part} classes, so there is no harmonic mean."
    if training is None:
        yield _UNKNOWN_TRAINING
        return
    yield from _shots(rules, training)
    classes = training["label_space"]
    trained = next((entry for entry in rules.lists if entry.part == "base" and entry.label_space == classes), None)
    if trained is None:
        yield f"the checkpoint was trained on {classes}, not on base classes."
        return
    for name, entry in tested.items():
        if entry.benchmark != trained.benchmark:
            yield f"the checkpoint was trained on base classes of another data set ({classes}) than {name}."


def _supervised(rules: ProtocolRules, sets: _Sets, training: _Training) -> Iterator[str]:
    for name, result in sets.items():
        if rules.list_of(result) is None:
            yield _unexpected(rules, name, result)
    if training is None:
        yield _UNKNOWN_TRAINING
        return
    yield from _same_classes(sets, training)
    yield from _full_training(training)


def _same_classes(sets: _Sets, training: Mapping[str, Any]) -> Iterator[str]:
    for name, result in sets.items():
        if training["label_space"] != result.card.label_space:
            yield f"the checkpoint was trained on {training['label_space']}, but {name} is {result.card.label_space}."


def _full_training(training: _Training) -> Iterator[str]:
    """Detects few-shot weights in place of fully trained ones."""
    if training is not None and training["shots"][1] <= max(protocol_rules()["few_shot"].shots):
        most = training["shots"][1]
        yield f"the checkpoint was trained on {most} videos per class or fewer, not on all training videos."


def _shots(rules: ProtocolRules, training: Mapping[str, Any]) -> Iterator[str]:
    least, most = training["shots"]
    if least != most or least not in rules.shots:
        videos = f"{least} to {most}" if least != most else str(least)
        allowed = " or ".join(map(str, rules.shots))
        yield f"the checkpoint was trained on {videos} videos per class, not on {allowed}."


def _unexpected(rules: ProtocolRules, name: str, result: SetResult) -> str:
    card = result.card
    found = (
        f"is {card.benchmark}, {card.part}"
        if card.benchmark
        else f"({card.listed:,} videos, label space {card.label_space}) is not a known list"
    )
    return f"{name} {found}; expected {rules.expected}."


_CHECKS: Final[Mapping[Protocol, Callable[[ProtocolRules, _Sets, _Training], Iterator[str]]]] = {
    "zero_shot": _zero_shot,
    "few_shot": _few_shot,
    "base_to_novel": _base_to_novel,
    "supervised": _supervised,
}
