"""The CSV table, read back with the standard library."""

import csv
from pathlib import Path

from ost_lightning.recognition.timelines import save_timeline
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_segments_and_gaps_are_rows_in_order_of_time(tmp_path: Path) -> None:
    save_timeline([ordinary(), empty()], tmp_path / "x.csv")
    first, gap, second = rows(tmp_path / "x.csv")
    assert first == {
        "video": "match.mp4",
        "start": "2.0",
        "end": "6.5",
        "label": "archery",
        "score": "0.31",
        "gap": "",
        "sentence": "a video of a drawn bow.",
        "kind": "spatio",
        "second": "3.25",
        "cosine": "0.31",
        "weights": "tiny",
        "digest": "00ff",
        "level": "0.25",
    }
    assert (second["label"], second["sentence"]) == ("surfing", "")
    assert (gap["start"], gap["label"], gap["gap"]) == ("10.0", "", "the connection was lost")


def test_names_are_no_formulas_and_do_not_break_rows(tmp_path: Path) -> None:
    save_timeline(hostile(), tmp_path / "x.csv")
    found = [row["label"] for row in rows(tmp_path / "x.csv")]
    assert len(found) == len(HOSTILE) + 1
    assert found[3] == HOSTILE[3]
    assert found[5] == f"'{HOSTILE[5]}"
