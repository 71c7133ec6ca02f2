import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.video.listed_videos import ListedVideo, read_list


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text", "videos"),
    [
        ("l.txt", "a.avi 0\nsub dir/b c.avi\t2\n\n", [ListedVideo("a.avi", "0"), ListedVideo("sub dir/b c.avi", "2")]),
        ("l.txt", "a.avi\nv b.avi\n", [ListedVideo("a.avi"), ListedVideo("v b.avi")]),
        ("l.csv", "label,youtube_id,time_start\nabseiling,x,3\n", [ListedVideo("x", "abseiling")]),
        ("l.csv", "path,label\na/b.mp4,4\n", [ListedVideo("a/b.mp4", "4")]),
        (
            "l.json",
            json.dumps([{"id": "74225", "label": "spinning", "template": "x"}]),
            [ListedVideo("74225", "spinning")],
        ),
        ("l.json", json.dumps([{"id": 7}]), [ListedVideo("7")]),
        ("l.json", json.dumps({"database": {"abc": {}, "def": {}}}), [ListedVideo("abc"), ListedVideo("def")]),
    ],
)
def test_all_forms(tmp_path: Path, name: str, text: str, videos: list[ListedVideo]) -> None:
    assert read_list(write(tmp_path, name, text)) == videos


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.csv", "name,label\nx,1\n", r"l\.csv:1: none of the columns name, label"),
        ("l.csv", "path,label\nx,1\n,2\n", r"l\.csv:3: the path is empty"),
        ("l.csv", 'path\n"x\n', "not valid CSV"),
        ("l.json", "[\n{]", r"l\.json:2: not valid JSON"),
        ("l.json", '[{"name": 1}]', "neither a list of objects"),
        ("l.txt", "\n", "lists no videos"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_list(write(tmp_path, name, text))


def test_missing_and_binary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no list"):
        read_list(tmp_path / "none.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_list(tmp_path / "b.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["l.txt", "l.csv", "l.json"]), st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_is_a_list_or_an_error(tmp_path: Path, name: str, text: str) -> None:
    file = write(tmp_path, name, text)
    with suppress(UserError):
        videos = read_list(file)
        assert videos
        assert all(video.path.strip() for video in videos)
