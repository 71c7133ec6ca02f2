import csv
from pathlib import Path

from ost_lightning.tools.problem_table import write_problems


def test_problems_are_listed_until_there_are_none(tmp_path: Path) -> None:
    file = tmp_path / "unreadable.csv"
    rows = [("a.mp4", "damaged"), ("=1+1.mp4", "no, video"), ("\udcff.mp4", "a name that is no UTF-8")]
    write_problems(file, ("id", "reason"), iter(rows))
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as handle:
        found = list(csv.reader(handle))
    assert found[0] == ["id", "reason"]
    assert [row[1] for row in found[1:]] == [reason for _, reason in rows]
    assert found[1][0] == "a.mp4"
    assert not found[2][0].startswith("=")  # no formula in a spreadsheet
    write_problems(file, ("id", "reason"), [])
    assert not file.exists()
    write_problems(file, ("id", "reason"), [])
