import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition import Recognition
from ost_lightning.recognition.live import Gap, LiveFile, LiveRecognition

CONDITIONS = {"weights": "tiny", "digest": "00ff"}
CLOCK = datetime(2025, 3, 1, 12, 0, 5, 250_000, tzinfo=UTC)
FOUND = LiveRecognition(Recognition("rtsp://cam", ("archery", "surfing"), (0.9, 0.1)), 2.0, 6.0, CLOCK, 0.0812, 3, 1)
GAP = Gap(6.0, 9.5, "it was silent for 10 s")


def write(file: Path, *results: LiveRecognition | Gap, top: int = 2) -> None:
    with LiveFile(file, CONDITIONS, top) as opened:
        for result in results:
            opened.add(result, "rtsp://cam")


def test_csv_is_continued(tmp_path: Path) -> None:
    file = tmp_path / "new/x.csv"
    write(file, FOUND)
    write(file, GAP)
    with file.open(newline="") as handle:
        first, second = csv.DictReader(handle)
    assert (first["clock"], first["start"], first["end"]) == ("2025-03-01T12:00:05.250+00:00", "2.0", "6.0")
    assert (first["latency"], first["dropped"], first["skipped"]) == ("0.081", "3", "1")
    assert (first["class_1"], first["probability_1"], first["error"], first["digest"]) == (
        "archery",
        "0.9000",
        "",
        "00ff",
    )
    assert (second["video"], second["error"], second["start"], second["end"]) == (
        "rtsp://cam",
        GAP.reason,
        "6.0",
        "9.5",
    )
    assert (second["clock"], second["class_1"]) == ("", "")


def test_json_lines_are_on_the_disk_at_once_and_half_a_line_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    write(file, FOUND)
    with file.open("a") as handle:
        handle.write('{"video": "half a li')
    with LiveFile(file, CONDITIONS, 2) as opened:
        opened.add(GAP, "rtsp://cam")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["error"] for row in rows] == ["", GAP.reason]
    assert rows[0]["classes"][0] == {"name": "archery", "probability": 0.9}
    assert rows[1]["latency"] is None


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"choose one of \.csv, \.jsonl"):
        write(tmp_path / "x.json", FOUND)
    write(tmp_path / "x.csv", FOUND)
    with pytest.raises(UserError, match=r"x\.csv has other columns"):
        write(tmp_path / "x.csv", FOUND, top=3)
