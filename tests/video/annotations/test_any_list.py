import json
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ost_lightning.errors import UserError
from ost_lightning.video.annotations.any_list import ListedVideo, read_files, read_list, write_list


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
        ("l.csv", "id, path,start,end\nn1,a.mp4,,2\n", [ListedVideo("a.mp4", end=2.0, id="n1")]),
        ("l.csv", "id,start\nx,early\n", [ListedVideo("x")]),
        (
            "l.json",
            json.dumps([{"id": "74225", "label": "spinning", "template": "x"}]),
            [ListedVideo("74225", "spinning")],
        ),
        ("l.json", json.dumps([{"id": 7}]), [ListedVideo("7")]),
        ("l.json", json.dumps({"database": {"abc": {}, "def": {}}}), [ListedVideo("abc"), ListedVideo("def")]),
    ],
)
def test_every_format_is_read(tmp_path: Path, name: str, text: str, videos: list[ListedVideo]) -> None:
    assert read_list(write(tmp_path, name, text)) == videos


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "name,label\nx,1\n", r"l\.csv:1: none of the columns name, label"),
        ("l.csv", "path,label\nx,1\n,2\n", r"l\.csv:3: the path is empty"),
        ("l.csv", "path,start\nx,early\n", r"l\.csv:2: the start 'early' is not a number of seconds"),
        ("l.csv", "path,start,end\nx,2,1\n", r"l\.csv:2: the end \(1 s\) is not after the start \(2 s\)"),
        ("l.csv", "path,label\na,b.mp4,1\n", r"l\.csv:2: 3 fields where the header has 2"),
        ("l.csv", 'path\n"x\n', "not valid CSV"),
        ("l.csv", '"path\n', "not valid CSV"),
        ("l.json", "[\n{]", r"l\.json:2: not valid JSON"),
        ("l.json", '[{"name": 1}]', "neither a list of objects"),
        ("l.txt", "\n", "lists no videos"),
    ],
)
def test_malformed_lists_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_list(write(tmp_path, name, text))


def test_lists_of_files_need_paths(tmp_path: Path) -> None:
    assert read_files(write(tmp_path, "l.csv", "id,path\nx,a.mp4\n")) == [ListedVideo("a.mp4", id="x")]
    with pytest.raises(UserError, match=r"columns id, label names the video\. Expected a header with path"):
        read_files(write(tmp_path, "l.csv", "id,label\nx,1\n"))
    with pytest.raises(UserError, match="names no files"):
        read_files(write(tmp_path, "l.json", '[{"id": 1}]'))


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.mp4", "b.mp4"], "label": [3, 4], "start": [None, 0.5], "end": [float("nan"), 1.5]})
    parquet.write_table(table, tmp_path / "l.parquet")
    assert read_list(tmp_path / "l.parquet") == [ListedVideo("a.mp4", "3"), ListedVideo("b.mp4", "4", 0.5, 1.5)]
    with pytest.raises(UserError, match="not a readable Parquet table"):
        read_list(write(tmp_path, "m.parquet", "path"))


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
listed = st.builds(
    ListedVideo,
    names,
    st.just("") | names,
    st.none() | st.floats(0, 9),
    st.none() | st.floats(9.5, 99),
    st.just("") | names,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(listed, min_size=1))
def test_written_tables_are_read_back(tmp_path: Path, videos: list[ListedVideo]) -> None:
    write_list(videos, tmp_path / "l.csv")
    assert read_list(tmp_path / "l.csv") == videos


def test_written_lines_are_read_back_or_refused(tmp_path: Path) -> None:
    videos = [ListedVideo("a b.mp4", "3"), ListedVideo("c.mp4")]
    write_list(videos, tmp_path / "l.txt")
    assert read_list(tmp_path / "l.txt") == videos
    for video in (ListedVideo("a", "swim"), ListedVideo("a", "1", id="n"), ListedVideo("a", "1", start=0.0)):
        with pytest.raises(UserError, match=r"m\.txt: a line `path label` .*'a' has .* Give a name with \.csv"):
            write_list([video], tmp_path / "m.txt")
    assert not (tmp_path / "m.txt").exists()
    with pytest.raises(UserError, match=r"m\.parquet: tables are written as CSV"):
        write_list(videos, tmp_path / "m.parquet")


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.txt does not exist"):
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


LATIN1 = os.fsdecode(b"caf\xe9.mp4")


def test_names_that_are_not_utf8_are_written_so_that_they_can_be_read_back(tmp_path: Path) -> None:
    videos = [ListedVideo(LATIN1, "3"), ListedVideo("b.mp4", "4")]
    for name in ("l.txt", "l.csv"):
        write_list(videos, tmp_path / name)
        assert read_list(tmp_path / name) == videos
    assert (tmp_path / "l.txt").read_bytes() == b"caf\xe9.mp4 3\nb.mp4 4\n"  # for other programs
    assert (tmp_path / "l.csv").read_text(encoding="utf-8") == "path,label\ncaf\\udce9.mp4,3\nb.mp4,4\n"


@pytest.mark.parametrize("name", ["a\rb.mp4", "a\nb.mp4", "a\r\nb.mp4", "a\tb.mp4", '"a", b.mp4', LATIN1], ids=ascii)
def test_tables_hold_any_name(tmp_path: Path, name: str) -> None:
    videos = [ListedVideo(name, "3"), ListedVideo("b.mp4", "4")]
    write_list(videos, tmp_path / "l.csv")
    assert read_list(tmp_path / "l.csv") == videos


@pytest.mark.parametrize("name", ["a\rb.mp4", "a\nb.mp4", " a.mp4", "a.mp4 "], ids=ascii)
def test_lines_that_cannot_hold_a_name_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"l\.txt: a line .* Give a name with \.csv"):
        write_list([ListedVideo(name, "3"), ListedVideo("b.mp4", "4")], tmp_path / "l.txt")


def test_class_names_and_numbers_of_frames_are_kept(tmp_path: Path) -> None:
    for text in ("a b.mp4 arm wrestling\nc.avi 3\n", "x 120 1\ny 31 2\n"):
        videos = read_list(write(tmp_path, "l.txt", text))
        assert [video.label for video in videos] in (["arm wrestling", "3"], ["1", "2"])
        write_list(videos, tmp_path / "copy.txt")
        assert (tmp_path / "copy.txt").read_text() == text
    with pytest.raises(UserError, match="A table has no column for the number of frames"):
        write_list(videos, tmp_path / "copy.csv")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_parquet_with_names_that_are_not_utf8(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array([b"caf\xe9.mp4", b"b.mp4", b"caf\\udce9.mp4"], pa.binary())
    stored = raw if kind == pa.binary() else raw.cast(pa.large_binary() if kind == pa.large_string() else pa.binary())
    paths = stored if kind == pa.binary() else stored.view(kind)  # unchecked
    parquet.write_table(pa.table({"path": paths, "label": [3, 4, 5]}), tmp_path / "l.parquet")
    assert [video.path for video in read_list(tmp_path / "l.parquet")] == [LATIN1, "b.mp4", LATIN1]
