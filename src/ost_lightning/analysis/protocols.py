"""The four protocols of the paper, and what sets a run apart from the one that it names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from ost_lightning.analysis.benchmarks import published_lists
from ost_lightning.analysis.run_results import SetResult

Protocol = Literal["zero_shot", "few_shot", "base_to_novel", "supervised"]
"""How a score came about: `zero_shot` on classes and videos not trained on, `few_shot` after K videos a class,
`base_to_novel` after 16 shots of half of the classes, `supervised` after all training videos."""

PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
_SHOTS: Final = (2, 4, 8, 16)
_TOLERATED: Final = 0.05
_SPLITS: Final = {"hmdb51": 3, "ucf101": 3, "kinetics600": 3}
_Training = Mapping[str, Any] | None


def remarks(
    protocol: Protocol | None, sets: Mapping[str, SetResult], training: _Training, clips: Mapping[str, Any]
) -> list[str]:
    """What a reader of the scores has to know, in sentences.

    Args:
        protocol: Named by the experiment; without one, only the counts are looked at.
        sets: What was tested.
        training: What the checkpoint was trained on (see `TrainingRecord`); None if that is not known.
        clips: Frames, views and crops of each video.
    """
    told = [sentence for name, result in sets.items() for sentence in _counts(name, result)]
    if protocol is not None:
        if clips["views"] * clips["crops"] > 1:
            views = f"{clips['views']} x {clips['crops']}"
            told.append(f"Not the protocol {protocol}: {views} views of each video are averaged, the paper scores one.")
        told += [f"Not the protocol {protocol}: {sentence}" for sentence in _RULES[protocol](sets, training)]
    return told


def _counts(name: str, result: SetResult) -> Iterator[str]:
    card = result.card
    if card.found < card.listed:
        yield f"{name}: {card.listed - card.found:,} of {card.listed:,} listed videos are not there."
    for scored in sorted({score.scored for score in result.scores.values()}):
        if scored != card.listed:
            yield f"{name}: only {scored:,} of {card.listed:,} listed videos were scored."
    undecodable = max((score.undecodable for score in result.scores.values()), default=0)
    if undecodable:
        yield f"{name}: {undecodable:,} of {card.listed:,} videos could not be read; they count as wrong."
    if card.in_training:
        yield f"{name}: {card.in_training:,} of {card.listed:,} videos are videos that the checkpoint was trained on."
    published = next((entry for entry in published_lists() if entry.name == card.list), None)
    if published is not None and published.videos is not None and card.listed != published.videos:
        yield f"{name}: the list has {card.listed:,} videos; the published list {card.list} has {published.videos:,}."
    if published is not None and published.about is not None and abs(card.listed / published.about - 1) > _TOLERATED:
        yield f"{name}: the list has {card.listed:,} videos; copies of {card.list} have about {published.about:,}."


def _zero_shot(sets: Mapping[str, SetResult], training: _Training) -> Iterator[str]:
    if training is not None and training["label_space"] != "kinetics400":
        yield f"the checkpoint was trained on {training['label_space']}, not on kinetics400."
    yield from _too_few(training)
    parts: dict[str, set[str]] = {}
    for name, result in sets.items():
        benchmark, part = result.card.benchmark, result.card.part or ""
        if benchmark not in _SPLITS or not part.startswith("split "):
            yield _unknown(name, result, "a test split of HMDB51 or UCF101, or a zero-shot split of Kinetics-600")
        else:
            parts.setdefault(benchmark, set()).add(part)
    for benchmark, found in parts.items():
        if len(found) < _SPLITS[benchmark]:
            yield f"{benchmark} was tested on {', '.join(sorted(found))} only, not on all three."


def _few_shot(sets: Mapping[str, SetResult], training: _Training) -> Iterator[str]:
    for name, result in sets.items():
        benchmark, part = result.card.benchmark, result.card.part
        if (benchmark, part) not in {("hmdb51", "split 1"), ("ucf101", "split 1"), ("ssv2", "validation")}:
            if benchmark in ("hmdb51", "ucf101"):
                yield (
                    f"{name} is {benchmark}, {part}; few-shot scores are those of split 1, because the training videos "
                    "of split 1 are test videos of the others."
                )
            else:
                yield _unknown(name, result, "test split 1 of HMDB51 or UCF101, or Something-Something's validation")
    if training is None:
        yield "it is not known what the checkpoint was trained on."
        return
    yield from _shots(training, _SHOTS)
    for name, result in sets.items():
        if result.card.label_space != training["label_space"]:
            yield f"the checkpoint was trained on {training['label_space']}, but {name} is {result.card.label_space}."


def _base_to_novel(sets: Mapping[str, SetResult], training: _Training) -> Iterator[str]:
    for name, result in sets.items():
        if result.card.part not in ("base", "novel"):
            yield _unknown(name, result, "the base or the novel classes of a data set")
    for benchmark in {result.card.benchmark for result in sets.values() if result.card.part in ("base", "novel")}:
        parts = {result.card.part for result in sets.values() if result.card.benchmark == benchmark}
        if lacking := {"base", "novel"} - parts:
            yield f"{benchmark} was not tested on its {lacking.pop()} classes, so there is no harmonic mean."
    if training is None:
        yield "it is not known what the checkpoint was trained on."
        return
    yield from _shots(training, (16,))
    trained = training["label_space"].removesuffix("-raw")
    if not trained.endswith("-base"):
        yield f"the checkpoint was trained on {training['label_space']}, not on base classes."
        return
    for name, result in sets.items():
        benchmark = result.card.benchmark
        if result.card.part in ("base", "novel") and benchmark != trained.removesuffix("-base"):
            yield f"the checkpoint was trained on base classes of another data set ({trained}) than {name}."


def _supervised(sets: Mapping[str, SetResult], training: _Training) -> Iterator[str]:
    for name, result in sets.items():
        if result.card.part != "validation" and result.card.benchmark not in ("hmdb51", "ucf101"):
            yield _unknown(name, result, "the validation set of Kinetics-400, Something-Something or ActivityNet")
        if training is not None and training["label_space"] != result.card.label_space:
            yield f"the checkpoint was trained on {training['label_space']}, but {name} is {result.card.label_space}."
    if training is None:
        yield "it is not known what the checkpoint was trained on."
    yield from _too_few(training)


def _too_few(training: _Training) -> Iterator[str]:
    """Few-shot weights under the name of a full training."""
    if training is not None and training["shots"][1] <= max(_SHOTS):
        most = training["shots"][1]
        yield f"the checkpoint was trained on {most} videos a class or fewer, not on all training videos."


def _shots(training: Mapping[str, Any], allowed: Sequence[int]) -> Iterator[str]:
    least, most = training["shots"]
    if least != most or least not in allowed:
        videos = f"{least} to {most}" if least != most else str(least)
        yield f"the checkpoint was trained on {videos} videos a class, not on {' or '.join(map(str, allowed))}."


def _unknown(name: str, result: SetResult, expected: str) -> str:
    card = result.card
    found = (
        f"is {card.benchmark}, {card.part}"
        if card.benchmark
        else f"({card.listed:,} videos, label space {card.label_space}) is no list that is known"
    )
    return f"{name} {found}; expected was {expected}."


_RULES: Final[Mapping[Protocol, Callable[[Mapping[str, SetResult], _Training], Iterator[str]]]] = {
    "zero_shot": _zero_shot,
    "few_shot": _few_shot,
    "base_to_novel": _base_to_novel,
    "supervised": _supervised,
}
