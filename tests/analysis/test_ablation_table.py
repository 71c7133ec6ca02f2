import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.analysis import AblationRow, AblationTable, EvaluationSetCard, mean_of
from ost_lightning.errors import UserError


def table(*top1: float, classes: int = 20) -> AblationTable:
    rows = [
        AblationRow("4a", f"row {k}", "Matcher()", {"own": value}, {"own": 1.0}, {"HMDB51": 50.0 + k})
        for k, value in enumerate(top1)
    ]
    sets = {"own": EvaluationSetCard(classes, 200, 3)}
    return AblationTable("rendered world", "Paper: X.", {"4a": "matching"}, sets, rows, {"checkpoint": f"c{top1[0]}"})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    made = table(0.5, 0.75)
    made.save(tmp_path / "new")
    assert AblationTable.load(tmp_path / "new" / "ablation.json") == made
    assert (tmp_path / "new" / "ablation.md").read_text() == made.markdown()
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_markdown_has_ours_beside_the_paper() -> None:
    lines = table(0.5, 0.75).markdown().splitlines()
    assert lines[0] == "|  | setting | own (ours) | HMDB51 (paper) |"
    assert lines[2:4] == ["| 4a matching | row 0 | 50.0 | 50.0 |", "|  | row 1 | 75.0 | 51.0 |"]
    assert "3 of them unreadable" in "\n".join(lines)
    assert "chance 5.0" in "\n".join(lines)


def test_mean_of_runs() -> None:
    runs = [table(0.5, 0.7), table(0.6, 0.7), table(0.4, 0.4)]
    mean = mean_of(runs)
    assert [row.top1["own"] for row in mean.rows] == pytest.approx([0.5, 0.6])
    assert mean.rows[0].top1_std["own"] == pytest.approx(statistics.stdev([0.5, 0.6, 0.4]))
    assert mean.runs == 3
    assert "| row 0 | 50.0 ± 10.0 | 50.0 |" in mean.markdown()
    assert "Mean and standard deviation of 3 runs" in mean.markdown()
    assert mean.conditions["checkpoint"] == "c0.5 / c0.6 / c0.4"
    assert [row.top1 for row in mean_of(runs[:1]).rows] == [row.top1 for row in runs[0].rows]


def test_a_row_that_one_run_lacks_has_no_mean() -> None:
    lacking = table(0.5, 0.7)
    lacking = replace(lacking, rows=[replace(lacking.rows[0], top1={}, top5={}), lacking.rows[1]])
    assert mean_of([table(0.5, 0.7), lacking]).rows[0].top1 == {}


def test_tables_that_do_not_belong_together() -> None:
    with pytest.raises(UserError, match="can't be averaged: their world differ"):
        mean_of([table(0.5), replace(table(0.5), world="real videos")])
    with pytest.raises(UserError, match="can't be averaged: their rows differ"):
        mean_of([table(0.5), table(0.5, 0.6)])
    with pytest.raises(UserError, match="20 classes in one run"):
        mean_of([table(0.5), table(0.5, classes=19)])


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"rows": []}', '{"format": 1, "rows": 3}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ablation.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"is not the ablation\.json of an ablation"):
        AblationTable.load(file)
    table(0.5).save(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="has format 99"):
        AblationTable.load(file)
