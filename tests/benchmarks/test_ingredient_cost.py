"""What the benchmark of ingredients counts: memory of a process, and lines of code."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("ingredient_cost", "own_process", "gradient_cache", "head", "random_clip")
MIB = 2**20


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("ingredient_cost")


def allocate(mebibytes: int) -> float:
    """Returns the peak that is measured while a tensor of this size exists, in MiB."""
    memory = importlib.import_module("own_process").PeakMemory("cpu")
    torch.ones(mebibytes * MIB, dtype=torch.uint8)
    return memory.read() * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_memory_is_that_of_the_work_alone(script: ModuleType) -> None:
    large = torch.ones(300 * MIB, dtype=torch.uint8)
    found = script.in_own_process(allocate, 200, preload=("torch",))
    assert found == pytest.approx(200, abs=8)
    assert len(large) == 300 * MIB


WAITING = """
import os, time
from own_process import in_own_process

def work():
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    in_own_process(work, preload=())
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_wants_its_result(tmp_path: Path, ending: signal.Signals) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.send_signal(ending)
        try:
            process.communicate(timeout=20)  # until the last process that can write there has ended
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise


def test_lines_of_code_have_no_words_around_them(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PACKAGE", tmp_path)
    (tmp_path / "part.py").write_text(
        '"""About this.\n\nMore.\n"""\n\n# why\nwidth = 3  # of the prior\n\n\ndef prior(\n    width: int,\n) -> str:\n'
        '    """Returns it."""\n    return """two\nlines"""\n'
    )
    (tmp_path / "other.py").write_text("rest = 1\n")
    assert script.lines_of(script.Code("part.py")) == 6
    assert script.lines_of(script.Code("*.py")) == 7
    assert script.lines_of(script.Code("*.py", "prior")) == 5  # the comment is no code
    assert script.lines_of(script.Code("*.py", "width")) == 2


def test_every_ingredient_has_code(script: ModuleType) -> None:
    without = {name for name, one in script.MEASURED.items() if one.code is None}
    assert without == {script.OST, "score of OST+"}
    codes = [one.code for one in script.MEASURED.values() if one.code is not None]
    assert all(0 < script.lines_of(code) < 300 for code in [*codes, *script.AFTER_TRAINING.values()])


def test_ratios_are_those_to_ost(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = script.Cost(100, 2.0, 0.5, 4.0, 0.0)
    found = {script.OST: plain, "soft-DTW": script.Cost(150, 3.0, 0.25, 6.0, 0.0)}

    def answer(work: object, *arguments: object) -> object:
        return found[arguments[0]] if work is script.measure else 0.5

    monkeypatch.setattr(script, "in_own_process", answer)
    monkeypatch.setattr(script, "save_random_clip", lambda patch, folder, layers: folder)
    script.compare(script.argparse.Namespace(ingredients=["soft-DTW"], patch=32, layers=12, classes=7, pretrained=None))
    table = capsys.readouterr().out
    assert "| soft-DTW | 1.50 | 1.50 | 1.50 | 0.50 |" in table
    assert "| test-time cache | 1.00 | 1.00 | 1.00 | 2.00 |" in table
    assert "OST once more: 1.00 x time, 1.00 x memory, 1.00 x evaluation time" in table
    assert "name term" not in table
