"""Your own runs next to published figures, each with its source."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ost_lightning.analysis.results.published_results import Row, published_rows
from ost_lightning.analysis.results.run_results import RunResults, percent
from ost_lightning.analysis.results.run_rows import run_rows
from ost_lightning.escaping import markdown_line, markdown_text


def table(runs: Sequence[RunResults]) -> list[Row]:
    """Returns the figures of runs, each group followed by the paper's and the best known one for the same backbone.

    Args:
        runs: Test runs.
    """
    rows: list[Row] = []
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in run_rows(runs):
        groups.setdefault(row.comparable, []).append(row)
    for key, ours in sorted(groups.items()):
        known = [row for row in published_rows() if row.comparable == key]
        best = max((row for row in known if row.ranked), key=lambda row: row.top1, default=None)
        shown = [row for row in known if row.method in ("OST", "vanilla CLIP") or row is best]
        rows += ours + sorted(shown, key=lambda row: row.top1)
    return rows


def as_records(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Returns records for CSV: Top-1 and deviation in percent, remarks in one cell."""
    records = []
    for row in rows:
        record = asdict(row)
        del record["ranked"]
        record["top1"] = round(100 * row.top1, 2)
        record["std"] = round(100 * row.std, 2) if row.std is not None else ""
        record["remarks"] = " ".join(row.remarks)
        records.append(record)
    return records


def as_markdown(rows: Sequence[Row]) -> str:
    """Returns a Markdown table, with the remarks below it."""
    lines = [
        "| protocol | data set | setting | method | backbone | frames | weights | Top-1 | over | scored / listed "
        "| measured by |",
        "| --- | --- | --- | --- | --- | --- | --- | ---: | --- | ---: | --- |",
    ]
    notes: dict[str, int] = {}
    for row in rows:
        marks = [notes.setdefault(remark, len(notes) + 1) for remark in row.remarks]
        figure = percent(row.top1, row.std) + "".join(f" [{mark}]" for mark in marks)
        conditions = (row.protocol, row.benchmark, row.setting, row.method, row.backbone, row.frames, row.weights)
        cells = (*map(markdown_text, conditions), figure, *map(markdown_text, (row.over, row.scored, row.measured_by)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"[{mark}] {markdown_line(note)}" for note, mark in notes.items())]).rstrip() + "\n"
