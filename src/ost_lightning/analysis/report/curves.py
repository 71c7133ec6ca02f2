"""Learning curves of the training that tested weights came from."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from ost_lightning.errors import UserError

METRICS_FILE: Final = "metrics.csv"
_MOST_POINTS: Final = 300
_STEP: Final = "step"

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class LearningCurves:
    """Metrics of one kind over the steps of a training.

    Attributes:
        title: What is shown.
        series: Points (step, value) by name of the metric.
    """

    title: str
    series: Mapping[str, Points]


def learning_curves(file: Path) -> tuple[LearningCurves, ...]:
    """Returns loss, accuracy on validation sets, and learning rate of a training.

    Long series are thinned out to a few hundred points, always with the last one.

    Args:
        file: The `metrics.csv` of a training.

    Raises:
        UserError: If the file is not such a table.
    """
    series: dict[str, list[tuple[float, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                for name, text in row.items():
                    if name != _STEP and text and _title(name) and isfinite(value := float(text)):
                        series.setdefault(name, []).append((float(row[_STEP]), value))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{file} is not the {METRICS_FILE} of a run ({error!r}).") from error
    kinds: dict[str, dict[str, Points]] = {}
    for name, points in series.items():
        if len(points) > 1:
            kinds.setdefault(_title(name), {})[name] = _thinned(sorted(points))
    return tuple(LearningCurves(title, kinds[title]) for title in sorted(kinds))


def _title(name: str) -> str:
    """Returns the title of the curves that a metric belongs to; empty for all other metrics."""
    if name.endswith("loss") and name.startswith(("train/", "val/")):
        return "Loss"
    if name.startswith("val/") and name.endswith("/top1"):
        return "Top-1 on validation sets"
    return "Learning rate" if name.startswith("lr-") else ""


def _thinned(points: Sequence[tuple[float, float]]) -> Points:
    step = max(1, len(points) // _MOST_POINTS)
    return (*points[: len(points) - 1 : step], points[-1])
