import csv
import pickle
import re
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown import markdown

import ost_lightning
from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.escaping import CsvWriter, csv_cell, csv_text, markdown_text, without_passwords
from ost_lightning.video import VideoReadError, VideoRecord

FORMULAS = [
    '=cmd|"/C calc"!A0',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "-aNccq2jvUA",
    "=",
    "'=1",
]


def written(*cells: object) -> list[str]:
    text = StringIO(newline="")
    CsvWriter(text).writerow(cells)
    (row,) = csv.reader(StringIO(text.getvalue(), newline=""))
    return row


@pytest.mark.parametrize("name", FORMULAS)
def test_a_spreadsheet_finds_no_formula_and_reading_back_gives_the_name(name: str) -> None:
    (cell,) = written(name)
    assert cell[0] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
    assert csv_text(cell) == name


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1e-05", "-.5", "1", -0.5, 3, "juggling", "'quoted'", "a=b", ""])
def test_numbers_and_plain_text_stay_as_they_are(cell: object) -> None:
    assert written(cell, "x") == [str(cell), "x"]


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'=+-@\t\r\n1.")))
def test_every_text_is_read_back(text: str) -> None:
    assert csv_text(csv_cell(text)) == text


@pytest.mark.parametrize(
    "name",
    [
        "a|b",
        "a\\|b",
        "<img src=x onerror=alert(1)>",
        "one\ntwo",
        "[x](javascript:alert(1))",
        "a\u2028b",
        "*a*",
        "`a`",
        "&lt;",
    ],
)
def test_a_name_stays_one_cell_of_a_markdown_table_and_shows_as_it_is(name: str) -> None:
    page = markdown(f"| name | score |\n| --- | --- |\n| {markdown_text(name)} | 1 |\n", extensions=["tables"])
    assert page.count("<td>") == 2
    shown = re.search(r"<td>(.*?)</td>", page)
    assert shown is not None
    assert not re.search(r"<(img|a|em|code)\b", shown[1])
    as_text = shown[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert as_text == re.sub(r"[\n\u2028]", " ", name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:PW@host/a.mp4", "https://user:***@host/a.mp4"),
        (
            "no video at s3://id:PW@bucket/a, tried ftp://u:PW@h",
            "no video at s3://id:***@bucket/a, tried ftp://u:***@h",
        ),
        ("https://user:P@W@host", "https://user:***@host"),
        ("https://user:P/W?#@host/b", "https://user:***@host/b"),
        ("simplecache::https://u:PW@host", "simplecache::https://u:***@host"),
        ("https://PW@host/x", "https://***@host/x"),
        ("https://h/x?a=1&token=PW&b=2", "https://h/x?a=1&token=***&b=2"),
        ("https://h/x?X-Amz-Signature=PW&X-Amz-Expires=9", "https://h/x?X-Amz-Signature=***&X-Amz-Expires=9"),
        ("https://h/x?sig=PW", "https://h/x?sig=***"),
        ("root: 'https://user:PW@host'\nlist: a@b", "root: 'https://user:***@host'\nlist: a@b"),
    ],
)
def test_passwords_in_urls_are_hidden(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert "PW" not in str(UserError(text))
    assert "PW" not in str(pickle.loads(pickle.dumps(CheckpointError(text))))  # noqa: S301  # as from a worker process
    assert "PW" not in written(text)[0]
    assert "PW" not in markdown_text(text)


@pytest.mark.parametrize(
    "text", ["https://host:8080/a@b.mp4", "https://host/a?x=b@c", "ssh://git@host/x", "a:b@c", "see https://h and a@b"]
)
def test_addresses_without_a_password_stay_as_they_are(text: str) -> None:
    assert without_passwords(text) == text


def test_errors_and_ids_of_videos_hide_passwords() -> None:
    error = VideoReadError("https://u:PW@host/a.mp4", "the server of https://u:PW@host is gone")
    assert all("PW" not in text for text in (str(error), error.path, error.reason))
    record = VideoRecord("https://u:PW@host/a.mp4", 0, "https://u:PW@host/a.mp4")
    assert (record.id, str(record.path)) == ("https://u:***@host/a.mp4", "https://u:PW@host/a.mp4")


def test_every_table_is_written_by_the_writer_that_neutralizes_formulas() -> None:
    """The metrics table is Lightning's, and has numbers only."""
    package = Path(ost_lightning.__file__).parent
    others = {"escaping.py", "metrics_table.py"}
    found = [file for file in package.rglob("*.py") if re.search(r"csv\.(Dict)?[wW]riter\(", file.read_text())]
    assert {file.name for file in found} <= others
