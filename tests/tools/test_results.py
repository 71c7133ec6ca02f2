import csv
from pathlib import Path

import pytest

from ost_lightning.cli import main
from tests.analysis.example_runs import outcome, run, three_splits, trained


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("zero_shot", trained("kinetics400"), **three_splits()).save(Path("runs/a/version_0/results.json"))
    shots = run("few_shot", trained("hmdb51", (4, 4)), h=outcome("hmdb51-split1"))
    shots.save(Path("runs/b/version_0/results.json"))


def test_several_folders_become_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "runs/a", "runs/b", "--output=out"]) == 0
    printed = capsys.readouterr().out
    assert printed == Path("out/results.md").read_text()
    with open("out/results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["protocol"] for row in rows} == {"zero_shot", "few_shot"}
    paper = [row for row in rows if row["method"] == "OST" and row["setting"] == "4 shots, from CLIP"]
    assert [(row["top1"], row["measured_by"]) for row in paper] == [("62.9", "OST Table 2")]
    assert main(["results", "runs"]) == 0
    assert capsys.readouterr().out == printed


def test_the_summary_of_a_demo_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "runs"]) == 0
    printed = capsys.readouterr().out
    Path("runs/results.json").write_text('{"what": "rendered world", "rows": []}')
    assert main(["results", "runs"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["runs/none"], "There is no results.json in runs/none"), ([], "`ost results` requires RUNS")],
)
def test_missing_runs_are_reported(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
