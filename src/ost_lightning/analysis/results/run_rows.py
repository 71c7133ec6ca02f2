"""Rows of the results table from test runs, averaged over seeds."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any, Final

from ost_lightning.analysis.results.published_results import Row
from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score
from ost_lightning.analysis.results.summaries import not_combined, summarize
from ost_lightning.dotted_names import flatten
from ost_lightning.video.annotations.video_ids import list_digest

OURS: Final = "this package"
_SHOWN: Final = 4
_TRAINING: Final = "training."
_UNKNOWN: Final = "unknown"
_DIGITS: Final = 8
_SENTENCES: Final = {"name": "class_names", "spatio": "spatio_descriptors", "temporal": "temporal_descriptors"}
"""Name of the condition of each kind of sentences."""


def run_rows(runs: Iterable[RunResults]) -> list[Row]:
    """Returns the figures of runs; runs that differ only in the seed are averaged.

    The same weights on the same videos with the same sentences count once, however often they were tested. Rows that
    would look the same although their conditions differ name the differences after the method.
    """
    groups: dict[Row, dict[str, tuple[dict[str, Any], dict[object, Row]]]] = {}
    for index, run in enumerate(runs):
        for row, cards in _of_run(run):
            conditions = {**_of_cards(cards), **_of_model(run)}
            lookalikes = groups.setdefault(_identity(row), {})
            _, rows = lookalikes.setdefault(json.dumps(conditions, sort_keys=True), (conditions, {}))
            rows[run.model.get("weights", index)] = row
    return [
        row
        for lookalikes in groups.values()
        for row in _distinguished(
            [(_over_seeds(list(rows.values())), conditions) for conditions, rows in lookalikes.values()]
        )
    ]


def _identity(row: Row) -> Row:
    """Returns the row with only the cells that distinguish rows of a table."""
    return replace(row, top1=0.0, std=None, over="", measured_by="", scored="", remarks=())


def _of_cards(cards: Sequence[DataCard]) -> dict[str, str]:
    """Returns the videos, classes and sentences that a figure depends on; digests are shortened."""
    conditions = {
        "label_space": ", ".join(sorted({card.label_space for card in cards})),
        "name_form": ", ".join(sorted({card.name_form for card in cards})),
        "videos": _digest([card.digest for card in cards]),
        "labels": _digest([card.labels for card in cards]),
    }
    kinds = dict.fromkeys(kind for card in cards for kind in card.sentences or ())
    for kind in kinds:
        conditions[_SENTENCES[kind]] = _digest([(card.sentences or {}).get(kind) for card in cards])
    return conditions if kinds else {**conditions, "sentences": _UNKNOWN}


def _digest(digests: Sequence[str | None]) -> str:
    """Returns a short digest of several, in any order; `unknown` if an earlier version did not record one of them."""
    if not digests or None in digests:
        return _UNKNOWN
    distinct = sorted({digest for digest in digests if digest is not None})
    return (distinct[0] if len(distinct) == 1 else list_digest(distinct))[:_DIGITS]


def _of_model(run: RunResults) -> dict[str, Any]:
    """Returns the settings of the model, the clips and the training, without seeds, by dotted name."""
    conditions = {"trained": run.checkpoint is not None, **flatten({"model": run.model, "clips": run.clips})}
    if run.checkpoint is not None:
        training = run.checkpoint.get("training") or {}
        before = training.get("before") or {}
        known = {"trained_on": training.get("label_space"), "trained_with": _trained_with(training)}
        known |= {"shots": training.get("shots"), "before": before.get("label_space", before.get("weights"))}
        if "label_space" in before:
            known["before_with"] = _trained_with(before)
        conditions |= flatten({**known, **(run.checkpoint.get("settings") or {})}, _TRAINING)
    # file names differ between seeds; `weights` and `before` identify their contents
    for name in [name for name in conditions if name.endswith((".init_from", "model.weights"))]:
        del conditions[name]
    if conditions.get("model.matcher.learn_epsilon"):
        del conditions["model.matcher.epsilon"]  # learned; its initial value is a training setting
    return conditions


def _trained_with(training: Mapping[str, Any]) -> str:
    """Returns a short digest of the sentences of a training."""
    return _digest([*(training.get("sentences") or {None: None}).values()])


def _distinguished(rows: Sequence[tuple[Row, Mapping[str, Any]]]) -> Iterator[Row]:
    """Yields rows that look the same, each with the settings in which it differs from the others."""
    names = dict.fromkeys(name for _, conditions in rows for name in conditions)
    differing = []
    for name in names:
        # untrained weights have no training settings that could differ
        compared = [conditions for _, conditions in rows if conditions["trained"] or not name.startswith(_TRAINING)]
        if any(conditions.get(name) != compared[0].get(name) for conditions in compared):
            differing.append(name)
    if "videos" in differing and "labels" in differing:
        differing.remove("labels")  # other videos have other labels
    for row, conditions in rows:
        settings = dict.fromkeys(
            f"{name.rpartition('.')[2]}={conditions[name]}" for name in differing if name in conditions
        )
        more = f" and {len(settings) - _SHOWN} more" if len(settings) > _SHOWN else ""
        shown = ", ".join([*settings][:_SHOWN])
        yield replace(row, method=f"{row.method} ({shown}{more})") if settings else row


def _of_run(run: RunResults) -> Iterator[tuple[Row, Sequence[DataCard]]]:
    """Yields one row per mean, and per set that is not part of a mean, each with the sets that it depends on."""
    summaries = summarize(run.sets)  # earlier versions also averaged sets that do not belong together
    averaged = {name for summary in summaries if summary.top1_std is not None for name in summary.sets}
    for summary in summaries:
        cards = [run.sets[name].card for name in summary.sets]
        splits = summary.top1_std is not None
        counts = [(run.sets[name].scores[summary.weights].scored, run.sets[name].card.listed) for name in summary.sets]
        kind = "" if splits else "harmonic mean"
        row = _row(
            run,
            summary.benchmark,
            ", ".join(filter(None, (kind, (cards[0].part or "").partition(", ")[2]))),
            summary.weights,
            (summary.top1, summary.top1_std),
            summary.what.rpartition("mean of ")[2] if splits else "",
            counts,
        )
        yield row, cards
    for name, result in run.sets.items():
        card = result.card
        if name not in averaged:
            for weights, score in result.scores.items():
                yield _single(run, name, card.benchmark, card.part, weights, score, card.listed), [card]


def _single(
    run: RunResults, name: str, benchmark: str | None, part: str | None, weights: str, score: Score, listed: int
) -> Row:
    setting = part or ""
    if run.protocol == "few_shot":
        setting = _few_shot_setting(run) + (f", {part}" if part not in ("split 1", "validation") else "")
    elif part == "validation":
        setting = ""
    elif run.protocol == "zero_shot" and part is not None:
        setting = f"{part} only"
    return _row(run, benchmark or name, setting, weights, (score.top1, None), "", [(score.scored, listed)])


def _few_shot_setting(run: RunResults) -> str:
    training = (run.checkpoint or {}).get("training")
    if training is None:
        return "shots unknown"
    before = training["before"] or {"label_space": "CLIP"}
    start = before.get("label_space", before.get("weights"))
    return f"{training['shots'][0]} shots, from {start}"


def _row(
    run: RunResults,
    benchmark: str,
    setting: str,
    weights: str,
    figure: tuple[float, float | None],
    over: str,
    counts: Sequence[tuple[int, int]],
) -> Row:
    views = run.clips["views"] * run.clips["crops"]
    return Row(
        protocol=run.protocol or "",
        benchmark=benchmark,
        setting=setting,
        method=run.method or ", ".join(_parts(run.model)),
        backbone=run.model["backbone"],
        frames=f"{run.clips['frames']}" + (f" x {views} views" if views > 1 else ""),
        weights=weights,
        top1=figure[0],
        std=figure[1],
        over=over,
        measured_by=f"{OURS}, {run.run}",
        scored=f"{sum(scored for scored, _ in counts):,} / {sum(listed for _, listed in counts):,}",
        remarks=tuple(dict.fromkeys((*run.remarks, *not_combined(run.sets), *_unknown(run)))),
    )


def _parts(model: Mapping[str, Any]) -> Iterator[str]:
    """Yields the classes that a run's method is made of: task, head, learned prompts or side network, matcher."""
    yield model["task"]
    if model.get("temporal_head"):
        yield model["temporal_head"]
    for name, part in model.get("parts", {}).items():
        if isinstance(part, Mapping):
            yield part["class"]
        elif name == "clip_share" and part:
            yield f"{part:g} plain CLIP"
    yield model["matcher"]["class"]


def _unknown(run: RunResults) -> Iterator[str]:
    """Yields a remark on results of an earlier version, which did not record the sentences."""
    if any(result.card.sentences is None for result in run.sets.values()):
        yield (
            f"{run.run} was tested with an earlier version, which did not record its sentences: it may have had other "
            "descriptors than runs that it is averaged or compared with. Test it again to find out."
        )


def _over_seeds(rows: Sequence[Row]) -> Row:
    """Averages rows that differ only in the seed; their standard deviation replaces the one over splits."""
    first = rows[0]
    if len(rows) == 1:
        return first
    top1 = [row.top1 for row in rows]
    runs = ", ".join(row.measured_by.removeprefix(f"{OURS}, ") for row in rows)
    return replace(
        first,
        top1=mean(top1),
        std=stdev(top1),
        over=f"{len(rows)} runs" + (f" of {first.over}" if first.over else ""),
        measured_by=f"{OURS}, {runs}",
        scored=" and ".join(dict.fromkeys(row.scored for row in rows)),
        remarks=tuple(dict.fromkeys(remark for row in rows for remark in row.remarks)),
    )
