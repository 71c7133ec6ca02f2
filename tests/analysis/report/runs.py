"""Folders of test runs, made up row by row."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import Prediction, prediction_columns, prediction_row
from ost_lightning.files import open_csv
from tests.analysis.example_runs import run as example

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
FILE = 'it\'s "a" & b.mp4'


def row(id_: str, label: str, *guesses: tuple[str, float], name: str = "own", **more: Any) -> Prediction:
    """Returns a prediction; the probability of the label is that of its guess, or 0."""
    classes, probabilities = tuple(guess[0] for guess in guesses), tuple(guess[1] for guess in guesses)
    of_label = dict(guesses).get(label, 0.0) if guesses else None
    return Prediction(
        id_,
        name,
        more.pop("start", None),
        more.pop("end", None),
        label,
        classes,
        probabilities,
        label_probability=of_label,
        **more,
    )


def sure(id_: str, label: str, recognized: str, probability: float = 0.9, **more: Any) -> Prediction:
    """Returns a prediction of one class."""
    return row(id_, label, (recognized, probability), **more)


def write_run(
    folder: Path,
    rows: Sequence[Prediction],
    *,
    digest: str = "videos",
    predictions: bool = True,
    usage: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    remarks: Sequence[str] = (),
    **more: Any,
) -> Path:
    """Writes what a test leaves, with scores that follow from the rows."""
    sets = {}
    for name in dict.fromkeys(one.set for one in rows):
        own = [one for one in rows if one.set == name]
        labels = {one.label for one in own}
        card = DataCard(
            "space", len(labels), "words", digest, None, None, None, len(own), len(own), None, labels=f"{digest} labels"
        )
        first = sum(one.classes[:1] == (one.label,) for one in own) / len(own)
        fifth = sum(one.label in one.classes for one in own) / len(own)
        score = Score(round(first, 6), round(fifth, 6), len(own), sum(bool(one.error) for one in own))
        sets[name] = SetResult(card, {"as trained": score}, **more)
    results: RunResults = replace(
        example(None, None, **sets), run=f"{folder.parent.name}/{folder.name}", checkpoint=checkpoint, remarks=remarks
    )
    results.save(folder / "results.json")
    (folder / "config.yaml").write_text("seed_everything: 0\n")
    if predictions:
        write_predictions(folder / "predictions.csv", rows)
    if usage is not None:
        (folder / "descriptor_usage.json").write_text(json.dumps(usage))
    return folder


def write_predictions(file: Path, rows: Sequence[Prediction]) -> None:
    with open_csv(file) as handle:
        writer = CsvWriter(handle)
        writer.writerow(prediction_columns())
        writer.writerows(map(prediction_row, rows))


def uses(*classes: tuple[str, int, float, float, int]) -> list[dict[str, Any]]:
    """Returns classes of `descriptor_usage.json`: name, videos, Top-1, Top-1 by name, and lost videos."""
    described = [
        {"kind": kind, "rank": 1, "text": f"{HOSTILE} {kind}", "mass": 1.0, "cosine": 0.2}
        | {"transported_cosine": 0.3, "leads": 1.0, "closest": closest}
        for kind, closest in (("spatio", 0.0), ("temporal", 1.0))
    ]
    return [
        {"name": name, "videos": videos, "top1": top1, "name_top1": by_name, "lost": lost, "descriptors": described}
        for name, videos, top1, by_name, lost in classes
    ]
