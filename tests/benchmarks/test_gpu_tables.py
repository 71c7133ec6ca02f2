"""The benchmark of a GPU: every part runs, at a tiny size on a CPU, and a failing part is named."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import environment

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.slow
@pytest.mark.parametrize("name", runpy.run_path(str(SCRIPT))["PARTS"])
def test_every_part_runs_on_a_cpu(name: str, tmp_path: Path) -> None:
    output = tmp_path / "gpu.md"
    command = [sys.executable, str(SCRIPT), "--device=cpu", "--minutes=9", f"--part={name}", f"--output={output}"]
    # threads that wait for each other take several times as long on cores that others use
    subprocess.run(command, check=True, timeout=600, env=environment())
    written = output.read_text()
    assert "status" not in written
    assert "stopped after" not in written
    assert len(written.splitlines()) > 6


NAMED = ["tests", "cost", "cost_weights", "cost_eager", "tower", "transport", "head", "memory", "gradient_cache"]
NAMED += ["fp8", "fp8_eager", "feeding", "variants"]


def test_there_is_a_part_for_every_table(script: dict[str, Any]) -> None:
    assert set(script["PARTS"]) == set(NAMED)
    for part in script["PARTS"].values():
        assert part.script == "pytest" or (SCRIPT.parent / part.script).is_file()
        line = script["command"](part, "cuda")
        assert line[1:3] == ["-m", "pytest"] or line[2:4] == ["--device", "cuda"]


@pytest.mark.slow
def test_a_part_that_fails_or_takes_too_long_is_named(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    section, part = script["section"], script["Part"]("Broken", "cost.py", "", "--no_such_option")
    assert "ended with status 2" in section(part, "cpu", 60)
    monkeypatch.setitem(section.__globals__, "SHORTEST", 0)
    assert "stopped after 1 s" in section(script["Part"]("Late", "cost.py", "", ""), "cpu", 1)


def test_a_part_that_does_not_fit_into_the_minutes_is_named(script: dict[str, Any]) -> None:
    assert "was left out: the time is over" in script["section"](script["PARTS"]["cost"], "cpu", 9)


def test_a_machine_without_a_gpu_is_told_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 2
    assert "PyTorch finds no GPU" in done.stderr
    assert "Traceback" not in done.stderr


def test_tables_are_markdown_and_other_lines_are_fenced(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    section = script["section"]
    for printed, expected in (("| a |\n| --- |\n| 1 |\n", "\n| a |\n"), ("1 passed\n", "```text\n1 passed\n```")):
        done = subprocess.CompletedProcess([], 0, printed, "")
        monkeypatch.setattr(section.__globals__["subprocess"], "run", lambda *_, done=done, **__: done)
        assert expected in section(script["PARTS"]["cost"], "cpu", 60)


def test_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SCRIPT.parent), run_name="__main__")
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert {"cost", "gpu", "reader", "transport"} <= rows.keys()
    assert "random_clip" not in rows  # no benchmark
    assert rows["gpu"].endswith("prints Markdown for docs/performance.md.")
