"""Runs beside published figures, stating who measured each."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import mean, stdev
from typing import Any, Final

import yaml

from ost_lightning.analysis.run_results import RunResults, Score, percent
from ost_lightning.resources import shipped

SHOTS: Final = (2, 4, 8, 16)
OURS: Final = "this package"
_TOLD: Final = 4
_TRAINING: Final = "training."
_BASE_TO_NOVEL: Final = ("base", "novel", "harmonic mean")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        protocol: One of `PROTOCOLS`; empty if the run names none.
        benchmark: Data set; the set's own name if it is none that is known.
        setting: What else has to be the same: `16 shots, from CLIP`, `novel`.
        method: Whose.
        backbone: `ViT-B/16`.
        frames: Frames and views.
        weights: Which weights of a run.
        top1: 0 to 1.
        std: Sample standard deviation.
        over: Over what.
        measured_by: Who ran it.
        scored: `scored / listed`, of one's own runs.
        remarks: What sets one's own runs apart from the protocol.
    """

    protocol: str
    benchmark: str
    setting: str
    method: str
    backbone: str
    frames: str
    weights: str
    top1: float
    std: float | None
    over: str
    measured_by: str
    scored: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def comparable(self) -> tuple[str, str, str, str]:
        """What two figures must share to be held against one another."""
        return self.protocol, self.benchmark, self.setting, self.backbone


@cache
def published_rows() -> tuple[Row, ...]:
    """The figures in `data/published_results.yaml`."""
    content = yaml.safe_load((shipped("data") / "published_results.yaml").read_text(encoding="utf-8"))
    return tuple(
        row for protocol, entries in content.items() for entry in entries for row in _published(protocol, entry)
    )


def _published(protocol: str, entry: Mapping[str, Any]) -> Iterator[Row]:
    for benchmark, figure in entry["figures"].items():
        if protocol == "few_shot":
            settings = [f"{shots} shots, from {entry['start']}" for shots in SHOTS]
        else:
            settings = list(_BASE_TO_NOVEL) if protocol == "base_to_novel" else [""]
        # elsewhere a list is a figure with its standard deviation
        figures = [figure] if len(settings) == 1 else figure
        for setting, value in zip(settings, figures, strict=True):
            top1, std = value if isinstance(value, list) else (value, None)
            yield Row(
                protocol=protocol,
                benchmark=benchmark,
                setting=setting,
                method=entry["method"],
                backbone=entry.get("backbone", "ViT-B/16"),
                frames=str(entry.get("frames", "")),
                weights="",
                top1=top1 / 100,
                std=std / 100 if std is not None else None,
                over="3 splits" if std is not None else "",
                measured_by=entry["measured_by"],
            )


def run_rows(runs: Iterable[RunResults]) -> list[Row]:
    """One's own figures; runs that differ in nothing but the seed are averaged.

    The same weights on the same videos count once, however often they were tested. Where rows look the same and were
    made differently, the method says what differs.
    """
    alike: dict[Row, dict[str, tuple[dict[str, Any], dict[object, Row]]]] = {}
    for place, run in enumerate(runs):
        for row in _of_run(run):
            made = {**_conditions(run), "lists": _lists(run, row.benchmark)}
            same_looks = alike.setdefault(_looks(row), {})
            _, rows = same_looks.setdefault(json.dumps(made, sort_keys=True), (made, {}))
            rows[run.model.get("weights", place)] = row
    return [
        row
        for same_looks in alike.values()
        for row in _told_apart([(_over_seeds(list(rows.values())), made) for made, rows in same_looks.values()])
    ]


def _looks(row: Row) -> Row:
    """What a reader of the table can tell rows apart by."""
    return replace(row, top1=0.0, std=None, over="", measured_by="", scored="", remarks=())


def _conditions(run: RunResults) -> dict[str, Any]:
    """All that a figure depends on except seeds and the videos, by dotted name."""
    conditions = {"trained": run.checkpoint is not None, **_flat({"model": run.model, "clips": run.clips})}
    if run.checkpoint is not None:
        training = run.checkpoint.get("training") or {}
        before = training.get("before") or {}
        told = {"trained_on": training.get("label_space"), "shots": training.get("shots")}
        told["before"] = before.get("label_space", before.get("weights"))
        conditions |= _flat({**told, **(run.checkpoint.get("settings") or {})}, _TRAINING)
    # files differ from seed to seed; what is in them is `weights` and `before`
    for name in [name for name in conditions if name.endswith((".init_from", "model.weights"))]:
        del conditions[name]
    if conditions.get("model.matcher.learn_epsilon"):
        del conditions["model.matcher.epsilon"]  # where it came to; where it began is a setting of the training
    return conditions


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _lists(run: RunResults, benchmark: str) -> list[str]:
    """Digests of the videos that a figure is about."""
    cards = [(name, result.card) for name, result in run.sets.items()]
    return sorted(card.digest for name, card in cards if (card.benchmark or name) == benchmark)


def _told_apart(rows: Sequence[tuple[Row, Mapping[str, Any]]]) -> Iterator[Row]:
    """Rows that look the same, each with the settings in which it differs from another."""
    names = dict.fromkeys(name for _, conditions in rows for name in conditions)
    differing = []
    for name in names:
        # what was never trained has no settings of a training to differ in
        compared = [made for _, made in rows if made["trained"] or not name.startswith(_TRAINING)]
        if any(made.get(name) != compared[0].get(name) for made in compared):
            differing.append(name)
    for row, conditions in rows:
        told = dict.fromkeys(
            f"{name.rpartition('.')[2]}={conditions[name]}" for name in differing if name in conditions
        )
        more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        shown = ", ".join([*told][:_TOLD])
        yield replace(row, method=f"{row.method} ({shown}{more})") if told else row


def table(runs: Sequence[RunResults]) -> list[Row]:
    """One's own figures, each group followed by the paper's and the best known of the same backbone.

    Args:
        runs: Test runs.
    """
    rows: list[Row] = []
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in run_rows(runs):
        groups.setdefault(row.comparable, []).append(row)
    for key, own in sorted(groups.items()):
        known = [row for row in published_rows() if row.comparable == key]
        best = max(known, key=lambda row: row.top1, default=None)
        shown = [row for row in known if row.method in ("OST", "vanilla CLIP") or row is best]
        rows += own + sorted(shown, key=lambda row: row.top1)
    return rows


def as_records(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """For CSV: Top-1 and deviation in percent, remarks in one cell."""
    records = []
    for row in rows:
        record = asdict(row)
        record["top1"] = round(100 * row.top1, 2)
        record["std"] = round(100 * row.std, 2) if row.std is not None else ""
        record["remarks"] = " ".join(row.remarks)
        records.append(record)
    return records


def as_markdown(rows: Sequence[Row]) -> str:
    """A table, and the remarks below it."""
    lines = [
        "| protocol | data set | setting | method | backbone | frames | weights | Top-1 | over | scored / listed "
        "| measured by |",
        "| --- | --- | --- | --- | --- | --- | --- | ---: | --- | ---: | --- |",
    ]
    notes: dict[str, int] = {}
    for row in rows:
        marks = [notes.setdefault(remark, len(notes) + 1) for remark in row.remarks]
        figure = percent(row.top1, row.std) + "".join(f" [{mark}]" for mark in marks)
        cells = (row.protocol, row.benchmark, row.setting, row.method, row.backbone, row.frames, row.weights, figure)
        lines.append(f"| {' | '.join((*cells, row.over, row.scored, row.measured_by))} |")
    return "\n".join([*lines, "", *(f"[{mark}] {note}" for note, mark in notes.items())]).rstrip() + "\n"


def _of_run(run: RunResults) -> Iterator[Row]:
    """A row for every mean, and for every set that is in none."""
    averaged = {(summary.benchmark, summary.weights) for summary in run.summaries if summary.top1_std is not None}
    for summary in run.summaries:
        splits = summary.top1_std is not None
        counts = [
            (score.scored, result.card.listed)
            for result in run.sets.values()
            for weights, score in result.scores.items()
            if result.card.benchmark == summary.benchmark and weights == summary.weights
        ]
        yield _row(
            run,
            summary.benchmark,
            "" if splits else "harmonic mean",
            summary.weights,
            (summary.top1, summary.top1_std),
            summary.what.rpartition("mean of ")[2] if splits else "",
            counts,
        )
    for name, result in run.sets.items():
        for weights, score in result.scores.items():
            if (result.card.benchmark, weights) not in averaged:
                yield _single(run, name, result.card.benchmark, result.card.part, weights, score, result.card.listed)


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
        method=", ".join(
            filter(None, (run.model["task"], run.model.get("temporal_head"), run.model["matcher"]["class"]))
        ),
        backbone=run.model["backbone"],
        frames=f"{run.clips['frames']}" + (f" x {views} views" if views > 1 else ""),
        weights=weights,
        top1=figure[0],
        std=figure[1],
        over=over,
        measured_by=f"{OURS}, {run.run}",
        scored=f"{sum(scored for scored, _ in counts):,} / {sum(listed for _, listed in counts):,}",
        remarks=tuple(run.remarks),
    )


def _over_seeds(rows: Sequence[Row]) -> Row:
    """The mean of alike rows; their spread takes the place of one over splits."""
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
