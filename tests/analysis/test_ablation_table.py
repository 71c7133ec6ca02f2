import json
import re
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


def test_saved_tables_are_loaded_unchanged(tmp_path: Path) -> None:
    saved = table(0.5, 0.75)
    saved.save(tmp_path / "new")
    assert AblationTable.load(tmp_path / "new" / "ablation.json") == saved
    assert (tmp_path / "new" / "ablation.md").read_text() == saved.markdown()
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_markdown_has_ours_next_to_the_paper() -> None:
    lines = table(0.5, 0.75).markdown().splitlines()
    assert lines[0] == "|  | setting | own (ours) | HMDB51 (paper) |"
    assert lines[2:4] == ["| 4a matching | row 0 | 50.0 | 50.0 |", "|  | row 1 | 75.0 | 51.0 |"]
    assert "3 of them unreadable" in "\n".join(lines)
    assert "chance 5.0" in "\n".join(lines)


def test_names_cannot_break_or_enter_the_table() -> None:
    plain = table(0.5)
    hostile = "a|b\n<img src=x>"
    row = replace(plain.rows[0], name=hostile, top1={hostile: 0.5}, top5={hostile: 1.0})
    text = replace(plain, rows=[row], sets={hostile: plain.sets["own"]}, world=hostile).markdown()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()[:3]] == [5, 5, 5]
    assert "<img" not in text


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


def test_a_mean_over_other_class_names_or_descriptors_says_so() -> None:
    runs = [
        replace(table(0.5), sets={"own": EvaluationSetCard(20, 200, 3, vocabulary=vocabulary)})
        for vocabulary in ("a", "b", "a", None)
    ]
    note = "- `own`: the runs differ in its class names or descriptors."
    assert note in mean_of(runs).markdown().splitlines()
    assert note not in mean_of([runs[0], *runs[2:]]).markdown()


def test_a_row_missing_in_one_run_has_no_mean() -> None:
    incomplete = table(0.5, 0.7)
    incomplete = replace(incomplete, rows=[replace(incomplete.rows[0], top1={}, top5={}), incomplete.rows[1]])
    assert mean_of([table(0.5, 0.7), incomplete]).rows[0].top1 == {}


def splits(*names: str) -> AblationTable:
    """Returns two rows on splits of hmdb51, scored 0.1 x the number of the split, and on an unrelated set."""
    sets = {name: EvaluationSetCard(51, 1530, 1, "hmdb51") for name in names} | {"own": EvaluationSetCard(20, 200, 0)}
    top1 = {name: 0.1 * int(name[-1]) for name in names} | {"own": 0.9}
    rows = [AblationRow("4a", f"row {k}", "Matcher()", top1, top1, {"HMDB51": 50.0}) for k in range(2)]
    return AblationTable("real videos", "Paper: X.", {"4a": "matching"}, sets, rows, {"checkpoint": names[0]})


def test_splits_of_a_data_set_are_one_column() -> None:
    unmerged = splits("hmdb_1", "hmdb_2", "hmdb_3")
    lines = unmerged.markdown().splitlines()
    assert lines[0] == "|  | setting | hmdb51 (ours) | own (ours) | HMDB51 (paper) |"
    assert lines[2] == "| 4a matching | row 0 | 20.0 ± 10.0 | 90.0 | 50.0 |"
    assert "`hmdb51`: mean and standard deviation of hmdb_1, hmdb_2, hmdb_3." in "\n".join(lines)
    assert "`hmdb51`: 4,590 videos of 51 classes, 3 of them unreadable" in "\n".join(lines)
    assert list(unmerged.sets) == ["hmdb_1", "hmdb_2", "hmdb_3", "own"]  # the file keeps them
    assert splits("hmdb_1").markdown().startswith("|  | setting | hmdb_1 (ours) |")


def test_runs_on_one_split_each_are_averaged() -> None:
    mean = mean_of([splits(f"hmdb_{k}") for k in (1, 2, 3)])
    assert list(mean.sets) == ["hmdb51", "own"]
    assert mean.rows[0].top1 == pytest.approx({"hmdb51": 0.2, "own": 0.9})
    assert mean.rows[0].top1_std["hmdb51"] == pytest.approx(0.1)
    with pytest.raises(UserError, match="they differ in sets"):
        mean_of([splits("hmdb_1"), splits("hmdb_1", "hmdb_2")])
    with pytest.raises(UserError, match="they differ in sets"):
        mean_of([splits("hmdb_1"), replace(table(0.5), world="real videos")])


def test_a_row_without_a_score_on_one_split_has_no_mean() -> None:
    complete = splits("hmdb_1", "hmdb_2")
    incomplete = replace(complete.rows[1], top1={"hmdb_1": 0.1, "own": 0.9})
    shown = replace(complete, rows=[complete.rows[0], incomplete]).markdown().splitlines()
    assert shown[3] == "|  | row 1 | - | 90.0 | 50.0 |"


def test_tables_that_cannot_be_averaged() -> None:
    with pytest.raises(UserError, match="can't be averaged: they differ in world"):
        mean_of([table(0.5), replace(table(0.5), world="real videos")])
    with pytest.raises(UserError, match="can't be averaged: they differ in rows"):
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
