"""What a run left is read, and what is missing or doubtful is said."""

from pathlib import Path

import pytest

from ost_lightning.analysis.report.reported_run import ReportedRun, find_runs
from ost_lightning.errors import UserError
from tests.analysis.report.runs import sure, uses, write_predictions, write_run

ROWS = [sure("1", "a", "a"), sure("2", "b", "a")]


def test_a_complete_run_lacks_only_the_order(tmp_path: Path) -> None:
    usage = {"own": {"summary": {}, "classes": uses(("a", 1, 1.0, 0.0, 0))}}
    run = ReportedRun.read(write_run(tmp_path / "x/version_0", ROWS, usage=usage))
    assert (run.name, run.problem) == ("x/version_0", "")
    assert [video.id for video in run.videos["own"]] == ["1", "2"]
    assert run.usage["own"][0]["name"] == "a"
    assert [note.rpartition(": ")[2] for note in run.missing] == ["add --order_report to the test."]


def test_a_run_without_predictions_says_how_to_save_them(tmp_path: Path) -> None:
    run = ReportedRun.read(write_run(tmp_path / "x/version_0", ROWS, predictions=False))
    assert run.videos == {}
    assert "--trainer.callbacks+=PredictionWriter" in run.missing[0]


@pytest.mark.parametrize("rows", [ROWS[:1], [sure("1", "a", "a"), sure("2", "b", "b")]], ids=["fewer", "others"])
def test_predictions_of_another_test_are_not_used(tmp_path: Path, rows: list[object]) -> None:
    folder = write_run(tmp_path / "x/version_0", ROWS)
    write_predictions(folder / "predictions.csv", rows)  # type: ignore[arg-type]
    run = ReportedRun.read(folder)
    assert run.videos == {}
    assert "are not used: " in run.missing[0]
    assert "has 1 of 2" in run.missing[0]


def test_a_stopped_test_and_a_training_are_told_apart(tmp_path: Path) -> None:
    for name in ("stopped", "training/checkpoints"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("stopped", "training"):
        (tmp_path / name / "config.yaml").touch()
    assert "was stopped" in ReportedRun.read(tmp_path / "stopped").problem
    assert "This is a training" in ReportedRun.read(tmp_path / "training").problem
    assert find_runs([tmp_path]) == [tmp_path / "stopped"]
    assert find_runs([tmp_path / "training"]) == [tmp_path / "training"]


def test_runs_below_a_folder_are_found_in_order(tmp_path: Path) -> None:
    for number in (10, 9):
        write_run(tmp_path / f"x/version_{number}", ROWS)
    (tmp_path / "results.json").write_text('{"rows": []}')  # the summary of a demo
    expected = [tmp_path / f"x/version_{number}" for number in (9, 10)]
    assert find_runs([tmp_path]) == expected
    assert find_runs([expected[1] / "results.json", tmp_path]) == expected[::-1]
    with pytest.raises(UserError, match="There is no test run in"):
        find_runs([tmp_path / "none"])


def test_damaged_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json is not the results\.json of a test run"):
        ReportedRun.read(*find_runs([tmp_path]))
    folder = write_run(tmp_path / "x", ROWS, usage={"own": {}})
    with pytest.raises(UserError, match=r"descriptor_usage\.json is not"):
        ReportedRun.read(folder)


def test_the_training_is_found_where_both_were_moved_to(tmp_path: Path) -> None:
    checkpoint = {"path": "/elsewhere/x/version_0/checkpoints/last.ckpt"}
    folder = write_run(tmp_path / "x/version_1", ROWS, checkpoint=checkpoint)
    assert ReportedRun.read(folder).missing[-1].startswith("Learning curves are missing")
    (tmp_path / "x/version_0").mkdir()
    (tmp_path / "x/version_0/metrics.csv").write_text("step,train/loss\n0,2\n10,1\n")
    drawn = [tmp_path / f"x/version_0/figures/epoch{epoch}-step{step}" for epoch, step in (("001", "9"), ("000", "10"))]
    for place in drawn:
        place.mkdir(parents=True)
        for name in ("own_flow.png", "own_confusion.png"):
            (place / name).touch()
    run = ReportedRun.read(folder)
    assert run.flows == (drawn[1] / "own_flow.png",)
    assert run.training == tmp_path / "x/version_0"
    assert [curve.title for curve in run.curves] == ["Loss"]
