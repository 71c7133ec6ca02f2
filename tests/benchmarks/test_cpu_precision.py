"""The benchmark of evaluation on a CPU: that its ways compute the same, and that a missing compiler is told."""

import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ost_lightning.models import VideoCLIP

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    found: dict[str, Any] = runpy.run_path(str(FOLDER / "cpu_precision.py"))["compare"].__globals__
    monkeypatch.setitem(found, "random_clip", lambda patch, device: VideoCLIP("tiny"))
    return found


def rows(printed: str) -> list[list[str]]:
    """Cells of all rows with a time."""
    return [line.strip("| ").split(" | ") for line in printed.splitlines() if "(" in line and "(min" not in line]


def run(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["cpu_precision.py", "--repetitions=1", "--frames=1", "--clips=0", *options])
    script["main"]()


def test_sentences_are_the_same_with_packed_weights(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(script, monkeypatch, "--patch", "--classes=20")
    own, packed = rows(capsys.readouterr().out)
    assert own[0] == script["OWN"]
    assert own[2] == "1"
    assert packed[2].endswith(")")
    assert float(packed[3]) < 1e-6
    assert float(packed[4]) > 0.99999


def test_a_missing_compiler_is_told(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="needs a C\\+\\+ compiler"):
        run(script, monkeypatch, "--compile")
