import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning.analysis.results.order_report import class_orders, class_table, order_csv, order_score, score_table
from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.analysis.results.run_rows import run_rows
from tests.analysis.example_runs import outcome, run

RIGHT = torch.tensor([[4, 2, 0], [1, 2, 0], [2, 2, 0], [1, 1, 0]])
VIDEOS = torch.tensor([5, 5, 0])
NAMES = ("opening", "=waving", "nobody")


def test_a_score_is_what_remains_without_the_order() -> None:
    score = order_score(RIGHT, VIDEOS, 0.05, seed=3)
    assert (score.top1, score.reversed, score.shuffled) == pytest.approx((0.6, 0.3, 0.3))
    assert score.shuffled_std == pytest.approx(0.141421)
    assert score.order == pytest.approx(0.3)
    assert (score.shuffles, score.seed, score.error) == (2, 3, 0.05)
    assert order_score(RIGHT[:3], VIDEOS, 0.0, 0).shuffled_std is None
    assert order_score(RIGHT * 0, VIDEOS * 0, 0.0, 0).top1 == 0


def test_classes_that_lose_most_come_first() -> None:
    found = class_orders(RIGHT, VIDEOS, NAMES)
    assert [one.name for one in found] == ["opening", "=waving"]
    first = found[0]
    assert (first.videos, first.top1, first.reversed, first.shuffled) == pytest.approx((5, 0.8, 0.2, 0.3))
    assert class_table(found).splitlines()[2] == "| opening | 5 | 80.0 | 20.0 | 30.0 | 50.0 |"
    rows = list(csv.DictReader(order_csv({"as trained": found, "ensembled_0.2": found}).splitlines()))
    assert [row["weights"] for row in rows] == ["as trained"] * 2 + ["ensembled_0.2"] * 2
    assert rows[0]["order"] == "0.5000"
    assert rows[1]["class"] == "'=waving"  # which no spreadsheet takes for a formula


def test_results_keep_the_report_and_their_rows_do_not_change(tmp_path: Path) -> None:
    score = order_score(RIGHT, VIDEOS, 0.05, seed=0)
    plain = run("zero_shot", None, **{"a|b": outcome("hmdb51-split1")})
    with_report = replace(plain, sets={"a|b": replace(plain.sets["a|b"], order={"as trained": score})})
    with_report.save(tmp_path / "results.json")
    assert RunResults.load(tmp_path / "results.json") == with_report
    assert run_rows([with_report]) == run_rows([plain])
    assert len(run_rows([with_report, plain])) == 1  # one test of the same weights
    line = "| a\\|b | as trained | 60.0 | 30.0 | 30.0 ± 14.1 | 30.0 ± 5.0 | 2, seed 0 |"
    assert line in with_report.markdown()
    assert "Order of frames" not in plain.markdown()
    assert line in score_table({"a|b": {"as trained": score}})
