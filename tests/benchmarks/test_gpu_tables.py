"""The benchmark of a GPU: every part runs, at a tiny size on a CPU, and a failing part is named."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.slow
@pytest.mark.parametrize("name", runpy.run_path(str(SCRIPT))["PARTS"])
def test_every_part_runs_on_a_cpu(name: str, tmp_path: Path) -> None:
    output = tmp_path / "gpu.md"
    command = [sys.executable, str(SCRIPT), "--device=cpu", f"--part={name}", f"--output={output}"]
    subprocess.run(command, check=True, timeout=600)
    written = output.read_text()
    assert "status" not in written
    assert "stopped after" not in written
    assert len(written.splitlines()) > 6


@pytest.mark.slow
def test_a_part_that_fails_or_takes_too_long_is_named(script: dict[str, Any]) -> None:
    part = script["Part"]("Broken", "cost.py", "", "--no_such_option")
    assert "ended with status 2" in script["section"](part, "cpu")
    part = script["Part"]("Late", "cost.py", "", "", 1)
    assert "stopped after 1 s" in script["section"](part, "cpu")
