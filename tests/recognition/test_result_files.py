import csv
import json
import os
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.files import unescape_bytes
from ost_lightning.recognition import Recognition, ResultFile, Unreadable

CONDITIONS = {"weights": "tiny", "digest": "00ff"}
FIRST = Recognition("a.mp4", ("archery", "surfing, big"), (0.9, 0.1))
BROKEN = Unreadable("b.mp4", "b.mp4: there is no such file")


def write(file: Path, *results: Recognition | Unreadable, top: int = 3) -> None:
    with ResultFile(file, CONDITIONS, top) as opened:
        for result in results:
            opened.add(result)


def test_csv(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", FIRST, BROKEN)
    with (tmp_path / "x.csv").open(newline="") as handle:
        first, second = csv.DictReader(handle)
    assert first["class_2"] == "surfing, big"
    assert (first["probability_1"], first["class_3"], first["digest"]) == ("0.9000", "", "00ff")
    assert (second["video"], second["error"], second["class_1"]) == ("b.mp4", BROKEN.reason, "")


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_structured_formats(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    write(file, FIRST, BROKEN)
    if suffix == ".json":
        rows = json.loads(file.read_text())
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
    assert rows[0]["classes"][1] == {"name": "surfing, big", "probability": 0.1}
    assert [row["error"] for row in rows] == ["", BROKEN.reason]
    assert {row["weights"] for row in rows} == {"tiny"}


def test_rows_say_none_of_these_where_there_is_a_level(tmp_path: Path) -> None:
    conditions = {**CONDITIONS, "none_below": "0.5"}
    with ResultFile(tmp_path / "x.csv", conditions, 1) as opened:
        for video, share in (("a.mp4", 0.6), ("b.mp4", 0.4)):
            opened.add(Recognition(video, ("archery",), (share,), none_below=0.5))
        opened.add(BROKEN)
    with (tmp_path / "x.csv").open(newline="") as handle:
        assert [row["none_of_these"] for row in csv.DictReader(handle)] == ["False", "True", ""]
    write(tmp_path / "y.csv", FIRST)
    assert "none_of_these" not in (tmp_path / "y.csv").read_text()


def interrupt(file: Path) -> None:
    opened = ResultFile(file, CONDITIONS, 3).__enter__()
    opened.add(FIRST)
    opened.add(BROKEN)
    opened.__exit__(KeyboardInterrupt)


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    interrupt(file)
    assert not file.exists()
    with (tmp_path / "x.jsonl.unfinished").open("a") as handle:
        handle.write('{"video": "half a li')
    resumed = ResultFile(file, CONDITIONS, 3)
    assert resumed.done == {"a.mp4"}  # unreadable videos are tried again
    with resumed:
        resumed.add(Recognition("b.mp4", ("archery",), (1.0,)))
    assert [json.loads(line)["video"] for line in file.read_text().splitlines()] == ["a.mp4", "b.mp4"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_other_conditions_are_not_mixed(tmp_path: Path) -> None:
    interrupt(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"other conditions \(digest, top\).*delete the file"):
        ResultFile(tmp_path / "x.csv", {**CONDITIONS, "digest": "1234"}, 5)


def test_an_unknown_suffix_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown suffix: choose one of \.csv, \.json, \.jsonl, \.parquet"):
        ResultFile(tmp_path / "x.xlsx", CONDITIONS, 3)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_a_name_that_is_not_utf8_is_written_and_can_be_read_back(tmp_path: Path, suffix: str) -> None:
    file, name = tmp_path / f"x{suffix}", os.fsdecode(b"caf\xe9.mp4")
    write(file, Recognition(name, ("archery",), (1.0,)))
    if suffix == ".parquet":
        (row,) = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
        written = row["video"]
    elif suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as handle:
            written = next(csv.DictReader(handle))["video"]
    else:
        content = json.loads(file.read_text())
        written = (content[0] if suffix == ".json" else content)["video"]
    assert unescape_bytes(written) == name
