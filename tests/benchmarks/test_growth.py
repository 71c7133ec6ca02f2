"""The benchmark of growth: every quantity runs at a tiny size, and what is fitted to times is their exponent."""

import math
import mmap
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is reset through /proc")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "growth.py"
PARTS = ("videos", "predictions", "classes", "frames", "descriptors", "minutes", "processes")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        return runpy.run_path(str(SCRIPT))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", PARTS[:-1])
def test_every_quantity_runs(script: dict[str, Any], part: str, tmp_path: Path) -> None:
    axis = script["AXES"][part]
    assert len(axis.quantities) > 3
    assert set(axis.largest) <= set(axis.quantities)
    for prepare in axis.quantities.values():
        prepare(axis.tiny[0], tmp_path)()


def test_the_exponent_is_that_of_the_largest_two_decades_above_the_floor(script: dict[str, Any]) -> None:
    sizes = [10, 100, 1000, 10_000, 100_000]
    for power in (0, 0.5, 1, 2):
        assert script["exponent"]({size: 3e-6 * size**power for size in sizes}, 0) == pytest.approx(power)
    with_fixed_cost = {size: 5 + (size / 1000) ** 2 for size in sizes}
    assert script["exponent"](with_fixed_cost, 0) > 1.5
    assert math.isnan(script["exponent"](with_fixed_cost, 1e4))


def test_a_table_marks_what_is_more_than_linear(script: dict[str, Any]) -> None:
    axis, measured = script["AXES"]["classes"], script["Measured"]
    found = {
        "fine": {10: measured(0.1, 1e7), 100: measured(1.0, 1e7)},
        "square": {10: measured(0.1, 1e3), 100: measured(10.0, 2e3)},
    }
    assert script["table"](axis, found).splitlines()[2:] == [
        "| fine | 1.0 s | 10 ms | 1.00 | 10 MB | 100 kB | 0.00 |",
        "| square | 10 s | 100 ms | **2.00** | 2.0 kB |  |  |",
    ]


def fresh_memory(size: int) -> mmap.mmap:
    """Returns memory that the process did not have before, unlike an allocation, with something on every page."""
    area = mmap.mmap(-1, size)
    area[:: mmap.PAGESIZE] = b"x" * len(range(0, size, mmap.PAGESIZE))
    return area


def test_time_and_memory_of_work_in_a_process_of_its_own(script: dict[str, Any]) -> None:
    measure = script["measure"]
    small, large = (measure(partial(fresh_memory, size), lambda: None) for size in (10, 50_000_000))
    assert small.bytes < 5e6 < 45e6 < large.bytes < 60e6
    assert small.seconds < large.seconds
    reported = script["Measured"](7.0, 8.0)
    assert measure(lambda: reported, lambda: None) == reported


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_part_prints_a_table_and_draws_a_figure(part: str, tmp_path: Path) -> None:
    figure = str(tmp_path / "growth_{part}.svg")
    command = [sys.executable, str(SCRIPT), "--tiny", "--part", part, "--figure", figure]
    printed = subprocess.run(command, check=True, timeout=600, capture_output=True, text=True).stdout
    assert printed.splitlines()[1].startswith("| --- |")
    assert (tmp_path / f"growth_{part}.svg").stat().st_size > 5000
