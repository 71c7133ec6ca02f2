"""`ost recognize` on streams, with the tiny CLIP."""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from threading import Timer

import pytest

from ost_lightning.cli import main
from tests.videos import write_video

OPTIONS = ["--live", "--weights=tiny", "--classes=archery, surfing", "--window=0.4", "--stride=0.2"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def test_a_file_is_played_like_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    write_video(Path("clip.mp4"), 20)
    assert main(["recognize", "clip.mp4", *OPTIONS, "--output=out.csv"]) == 0
    printed = capsys.readouterr().out
    assert "0:00.0 to 0:00.4  " in printed
    assert "decided by " in printed
    assert "3 results in 0:0" in printed
    assert "0 frames dropped, 0 windows left out, 0 gaps" in printed
    with Path("out.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["video"], row["start"], row["end"]) for row in rows] == [
        ("clip.mp4", "0.0", "0.4"),
        ("clip.mp4", "0.2", "0.6"),
        ("clip.mp4", "0.4", "0.8"),
    ]
    assert all(0 < float(row["latency"]) < 60 for row in rows)


def test_an_interrupt_ends_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    write_video(Path("clip.mp4"), 250)
    opened = Path("out.jsonl")

    def interrupt_after_a_result() -> None:
        if opened.exists() and opened.read_text().count("\n") > 1:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            start()

    def start() -> None:
        timer = Timer(0.05, interrupt_after_a_result)
        timer.daemon = True
        timer.start()

    start()
    assert main(["recognize", "clip.mp4", *OPTIONS, "--output=out.jsonl"]) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in opened.read_text().splitlines()]
    assert 2 <= len(rows) < 20
    assert f"{len(rows)} results in " in printed
    assert printed.endswith("Results written to out.jsonl\n")


def test_a_lost_stream_ends_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "udp://me:secret@127.0.0.1:9", *OPTIONS, "--timeout=0.2"]) == 1
    printed = capsys.readouterr()
    assert "udp://me:***@127.0.0.1:9 can't be opened: it was silent for 0.2 s" in " ".join(printed.err.split())
    assert "secret" not in printed.out + printed.err
