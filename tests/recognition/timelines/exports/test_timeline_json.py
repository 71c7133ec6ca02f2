"""The package's own JSON: what is written is read back as it was, and other files are refused by name."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import load_timeline, load_timelines, save_timeline
from tests.recognition.timelines.exports.examples import empty, hostile, ordinary


def test_everything_is_read_back(tmp_path: Path) -> None:
    written = [ordinary(), hostile(), empty("caf\udce9.mp4")]
    save_timeline(written, tmp_path / "x.json")
    assert list(load_timelines(tmp_path / "x.json")) == written
    save_timeline(written[0], tmp_path / "one.json")
    assert load_timeline(tmp_path / "one.json") == written[0]


def test_infinite_settings_are_written_as_text(tmp_path: Path) -> None:
    save_timeline(replace(empty(), conditions={"level": -math.inf}), tmp_path / "x.json")
    assert load_timeline(tmp_path / "x.json").conditions == {"level": "-inf"}


def test_one_timeline_is_not_read_from_a_file_of_several(tmp_path: Path) -> None:
    save_timeline([ordinary(), empty()], tmp_path / "x.json")
    with pytest.raises(UserError, match="has 2 timelines: read it with `load_timelines`"):
        load_timeline(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "has no timelines"),
        ('{"version": 1}', "has no timelines"),
        ('{"format": "ost_lightning timelines", "version": 2, "timelines": []}', "version 2.*reads version 1"),
        ('{"format": "ost_lightning timelines", "version": 1}', "timelines: Input should be a valid"),
        ('{"format": "ost_lightning timelines", "version": 1, "timelines": [3]}', r"timelines\[0\]"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_timelines(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("start", "41.5", r"segments\[1\].start: .*number"),
        ("end", "late", r"segments\[1\].end: .*number"),
        ("end", 1.0, r"segments\[1\]: .*expected 0 <= start < end"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    file = tmp_path / "x.json"
    save_timeline(ordinary(), file)
    content = json.loads(file.read_text())
    content["timelines"][0]["segments"][1][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"timelines\[0\]\.{message}"):
        load_timelines(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*x\.json"):
        load_timelines(tmp_path / "x.json")
