"""The study and the benchmark of libraries, at a tiny size."""

import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_study_ranks_by_probability_as_a_test_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TOP / "studies/library"))
    import search

    options = ["--draw=0", "--clips=1", "--weights", "pretrained", f"--folder={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["search.py", *options])
    search.main()
    rows = dict(line.split(" | ", 1) for line in capsys.readouterr().out.splitlines() if line.startswith("| "))
    assert rows["| probability (default)"] == rows["| `ost test` probability"]
    ordered, plain = (float(rows[f"| all descriptors, {way}"].split()[0]) for way in ("`order_sigma` 0.3", "plain"))
    assert ordered >= 90
    assert abs(plain - 50) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("part", ["scan", "coarse", "open"])
def test_parts_of_the_benchmark_run(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOP / "benchmarks"))
    from large_library import measure

    assert measure(part, tmp_path, 300, uniform=True, rounds=1)
