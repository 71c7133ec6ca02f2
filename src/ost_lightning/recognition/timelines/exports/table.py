"""Timelines as a CSV table, one row per segment or gap."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.escaping import CsvWriter
from ost_lightning.files import open_csv
from ost_lightning.recognition.timelines.timeline import Timeline

_COLUMNS: Final = ("video", "start", "end", "label", "score", "gap", "sentence", "kind", "second", "cosine")


def write_csv(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes one row per segment, with the sentence that fits best, and per gap, with its reason.

    A column for each condition follows. Times are in seconds.
    """
    conditions = list(dict.fromkeys(name for timeline in timelines for name in timeline.conditions))
    with open_csv(file) as handle:
        writer = CsvWriter(handle)
        writer.writerow([*_COLUMNS, *conditions])
        for timeline in timelines:
            values = [timeline.conditions.get(name, "") for name in conditions]
            writer.writerows([timeline.video, *row, *values] for row in _rows(timeline))


def _rows(timeline: Timeline) -> list[list[str | float]]:
    rows: list[list[str | float]] = []
    for segment in timeline.segments:
        best: list[str | float] = ["", "", "", ""]
        if segment.evidence:
            found = segment.evidence[0]
            best = [found.sentence, found.kind, round(found.second, 3), round(found.cosine, 4)]
        times = [round(segment.start, 3), round(segment.end, 3)]
        rows.append([*times, segment.label, round(segment.score, 6), "", *best])
    rows += [[round(gap.start, 3), round(gap.end, 3), "", "", gap.reason, "", "", "", ""] for gap in timeline.gaps]
    return sorted(rows, key=lambda row: row[0])
