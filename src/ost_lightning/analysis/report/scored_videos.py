"""Reads `predictions.csv` of a test run: what was recognized in each video."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ost_lightning.errors import UserError
from ost_lightning.escaping import csv_text
from ost_lightning.files import unescape_bytes

_FIRST: Final = ("class_1", "probability_1")


class ScoredVideo(NamedTuple):
    """A row of `predictions.csv` with a label.

    Attributes:
        id: Id of the video, or of a part of it.
        start: Start of the part in seconds; None for the beginning.
        end: End of the part in seconds; None for the end.
        label: Name of the labeled class.
        recognized: Name of the likeliest class; empty if the video could not be read.
        probability: Probability of the likeliest class.
        label_probability: Probability of the labeled class; None if the file does not say.
        path: Absolute path or URL; empty if unknown.
        error: Reason for which the video could not be read; empty if it was read.
        occurrence: Number of earlier rows with the same id and times.
    """

    id: str
    start: float | None
    end: float | None
    label: str
    recognized: str
    probability: float
    label_probability: float | None
    path: str
    error: str
    occurrence: int = 0

    @property
    def right(self) -> bool:
        """Whether the likeliest class is the labeled one."""
        return self.recognized == self.label

    @property
    def key(self) -> tuple[str, float | None, float | None, int]:
        """What identifies the row in tests of the same set."""
        return self.id, self.start, self.end, self.occurrence

    @property
    def video(self) -> str:
        """What identifies the video that the row is a part of."""
        return self.path or self.id


def read_scored_videos(folder: Path) -> dict[str, tuple[ScoredVideo, ...]]:
    """Returns the labeled rows of all prediction files of a run, by evaluation set.

    Args:
        folder: Folder of the run.

    Raises:
        UserError: If a file is not one that `PredictionWriter` wrote.
    """
    files = [folder / "predictions.csv", *sorted(folder.glob("predictions-*.csv"))]
    found: dict[str, list[ScoredVideo]] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    for file in files:
        if file.is_file():
            for name, video in _rows(file):
                key = (name, *video.key)
                found.setdefault(name, []).append(video._replace(occurrence=seen[key]))
                seen[key] += 1
    return {name: tuple(videos) for name, videos in found.items()}


def hits_by_video(videos: Sequence[ScoredVideo]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns how many rows of each video are recognized, and how many rows it has."""
    right: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for video in videos:
        right[video.video] += video.right
        rows[video.video] += 1
    return np.array([right[name] for name in rows], np.int64), np.array(list(rows.values()), np.int64)


def _rows(file: Path) -> Iterator[tuple[str, ScoredVideo]]:
    with file.open(newline="", encoding="utf-8") as handle:
        table = csv.DictReader(handle)
        columns = {"video", "set", "start", "end", "label", "error", *_FIRST}
        if missing := columns - set(table.fieldnames or ()):
            raise UserError(
                f"{file} has no column {', '.join(sorted(missing))}: expected the table that PredictionWriter writes "
                "in a test. Test the run again."
            )
        try:
            for row in table:
                if row["label"]:
                    yield csv_text(row["set"]), _video(row)
        except (ValueError, TypeError, csv.Error) as error:
            raise UserError(
                f"{file}:{table.line_num}: {error}. Expected a row that PredictionWriter writes; test the run again."
            ) from error


def _video(row: Mapping[str, str]) -> ScoredVideo:
    of_label = row.get("label_probability")
    return ScoredVideo(
        unescape_bytes(csv_text(row["video"])),
        _number(row["start"]),
        _number(row["end"]),
        csv_text(row["label"]),
        csv_text(row["class_1"]),
        float(row["probability_1"] or 0),
        float(of_label) if of_label else None,
        unescape_bytes(csv_text(row.get("path") or "")),
        row["error"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
