import csv
from pathlib import Path

import pytest

from ost_lightning.callbacks.resuming import MetricsTable
from ost_lightning.errors import UserError


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "version_0" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_continues_at_the_row_of_the_checkpoint(tmp_path: Path) -> None:
    first = MetricsTable(tmp_path, "run")
    for step in range(3):
        first.log_metrics({"loss": float(step)}, step)
    assert first.rows() == 3
    first.log_metrics({"loss": 9.0, "late": 1.0}, 3)  # after the checkpoint
    first.save()
    again = MetricsTable(tmp_path, "run", version=0, kept_rows=3)
    again.log_metrics({"loss": 3.0}, 3)
    assert again.rows() == 4
    again.log_metrics({"top1": 0.5}, 4)
    assert again.rows() == 5
    rows = read(tmp_path)
    assert [row["loss"] for row in rows] == ["0.0", "1.0", "2.0", "3.0", ""]
    assert rows[-1]["top1"] == "0.5"
    assert MetricsTable(tmp_path, "run").version == 1


def test_a_half_written_row_is_discarded(tmp_path: Path) -> None:
    first = MetricsTable(tmp_path, "run")
    first.log_metrics({"loss": 1.0, "lr": 0.1}, 0)
    first.save()
    with (tmp_path / "run/version_0/metrics.csv").open("a") as file:
        file.write("0.7")  # the process was killed here
    again = MetricsTable(tmp_path, "run", version=0, kept_rows=1)
    again.log_metrics({"loss": 2.0}, 1)
    again.save()
    assert [row["loss"] for row in read(tmp_path)] == ["1.0", "2.0"]


def test_a_table_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path, "run")
    table.log_metrics({"loss": 1.0}, 0)
    (tmp_path / "run/version_0/metrics.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"metrics.csv"):
        table.save()
