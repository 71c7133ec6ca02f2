"""Runs beside published figures, stating who measured each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import mean, stdev
from typing import Any, Final

import yaml

from ost_lightning.analysis.run_results import RunResults, Score, percent
from ost_lightning.resources import shipped

SHOTS: Final = (2, 4, 8, 16)
OURS: Final = "this package"
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
    """One's own figures; runs that differ in nothing but the seed are averaged."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        for row in _of_run(run):
            conditions = (run.model["pretrained"], str(run.model["matcher"]), str(run.model["templates"]))
            alike.setdefault((*row.comparable, row.method, row.frames, row.weights, *conditions), []).append(row)
    return [_over_seeds(rows) for rows in alike.values()]


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
    start = training["before"]["label_space"] if training["before"] is not None else "CLIP"
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
    content = {name: getattr(first, name) for name in Row.__dataclass_fields__}
    content["top1"], content["std"] = mean(top1), stdev(top1)
    content["over"] = f"{len(rows)} runs" + (f" of {first.over}" if first.over else "")
    runs = ", ".join(row.measured_by.removeprefix(f"{OURS}, ") for row in rows)
    content["measured_by"] = f"{OURS}, {runs}"
    content["remarks"] = tuple(dict.fromkeys(remark for row in rows for remark in row.remarks))
    return Row(**content)
