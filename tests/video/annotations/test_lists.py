import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.video import UNLABELED, AnnotationError, VideoRecord, read_records

NAMES = ("brush hair", "cartwheel", "catch", "8")


def write(folder: Path, text: str, name: str = "list.txt") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_reads_path_label_lines(tmp_path: Path) -> None:
    file = write(tmp_path, "a.avi 0\nsub dir/b c.avi 2\n\n  d.avi   1  \n")
    assert read_records(file, NAMES) == [
        VideoRecord("a.avi", 0, "a.avi"),
        VideoRecord("sub dir/b c.avi", 2, "sub dir/b c.avi"),
        VideoRecord("d.avi", 1, "d.avi"),
    ]


def test_reads_csv_with_names_times_and_ids(tmp_path: Path) -> None:
    text = 'label,path,start,end,id\ncartwheel,"a, b.mp4",1.5,4,first\n2,c.mp4,,,\n8,d.mp4,,,\n'
    records = read_records(write(tmp_path, text, "list.csv"), NAMES)
    assert records[0] == VideoRecord("a, b.mp4", 1, "first", 1.5, 4.0)
    assert records[1] == VideoRecord("c.mp4", 2, "c.mp4")
    assert records[2].label == 3  # a class called 8, not the class number 8


@pytest.mark.parametrize(
    ("name", "text", "position", "message"),
    [
        ("l.txt", "a.avi 0\nb.avi\n", ":2:", "no label"),
        ("l.txt", "a.avi zero\n", ":1:", "neither a class name"),
        ("l.txt", "a.avi -1\n", ":1:", "neither a class name"),
        ("l.txt", "a.avi 0\n\nb.avi 4\n", ":3:", "outside the label space, which has 4 classes"),
        ("l.csv", "path\na.avi\n", ":1:", "column 'label' is missing"),
        ("l.csv", "path,label,color\na,0,red\n", ":1:", "unknown column 'color'"),
        ("l.csv", "path,label\na.avi\n", ":2:", "1 fields where the header has 2"),
        ("l.csv", "path,label\na.avi,9\n", ":2:", "outside the label space"),
        ("l.csv", "path,label\na.avi,running\n", ":2:", "neither a class name"),
        ("l.csv", "path,label\n,0\n", ":2:", "path is empty"),
        ("l.csv", "path,label,path\na,0,b\n", ":1:", "the column 'path' occurs twice"),
        ("l.csv", "path,label,start,end\na.avi,0,4,2\n", ":2:", "not after the start"),
        ("l.csv", "path,label,start,end\na.avi,0,2,2\n", ":2:", "not after the start"),
        ("l.csv", "path,label,end\na.avi,0,0\n", ":2:", "the end (0 s) is not after the start (0 s)"),
        ("l.csv", "path,label,start,end\na.avi,0,x,2\n", ":2:", "not a number"),
        ("l.csv", "path,label,start\na.avi,0,nan\n", ":2:", "not a time"),
        ("l.csv", 'path,label\n"a.avi,0\n', ":", "not valid CSV"),
        ("l.txt", "\n\n", "", "lists no videos"),
    ],
)
def test_errors_name_the_malformed_line(tmp_path: Path, name: str, text: str, position: str, message: str) -> None:
    file = write(tmp_path, text, name)
    with pytest.raises(AnnotationError) as caught:
        read_records(file, NAMES)
    assert f"{file}{position}" in str(caught.value)
    assert message in str(caught.value)


def test_labels_are_optional_in_unlabeled_lists(tmp_path: Path) -> None:
    text = "a.avi\nsub dir/b c.avi\nd.avi 2\n"
    assert read_records(write(tmp_path, text), NAMES, labeled=False) == [
        VideoRecord("a.avi", UNLABELED, "a.avi"),
        VideoRecord("sub dir/b c.avi", UNLABELED, "sub dir/b c.avi"),
        VideoRecord("d.avi", 2, "d.avi"),
    ]
    with pytest.raises(AnnotationError, match=":2: the label 4 is outside"):
        read_records(write(tmp_path, "a.avi\nb.avi 4\n"), NAMES, labeled=False)
    table = write(tmp_path, "path,start,end\na.avi,1,2\n", "list.csv")
    assert read_records(table, NAMES, labeled=False) == [VideoRecord("a.avi", UNLABELED, "a.avi@1-2", 1.0, 2.0)]


def test_errors_name_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"nope\.txt does not exist"):
        read_records(tmp_path / "nope.txt", NAMES)


def test_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\x00\xff\xfe video 0")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        read_records(file, NAMES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(lambda path: not path.startswith("﻿")),
        min_size=1,
    ),
    data=st.data(),
)
def test_written_lists_are_read_back(tmp_path: Path, paths: list[str], data: st.DataObject) -> None:
    labels = [data.draw(st.integers(0, len(NAMES) - 1)) for _ in paths]
    lines = "".join(f"{path} {label}\n" for path, label in zip(paths, labels, strict=True))
    records = read_records(write(tmp_path, lines), NAMES)
    assert [(record.id, record.label) for record in records] == list(zip(paths, labels, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), suffix=st.sampled_from([".txt", ".csv"]))
def test_any_text_gives_records_or_an_error_that_names_the_file(tmp_path: Path, text: str, suffix: str) -> None:
    file = tmp_path / f"fuzz{suffix}"
    file.write_text(text, encoding="utf-8", newline="")
    try:
        records = read_records(file, NAMES)
    except AnnotationError as error:
        if str(file) not in str(error):
            raise
    else:
        assert all(0 <= record.label < len(NAMES) for record in records)


LATIN1 = os.fsdecode(b"caf\xe9.mp4")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    for suffix, content in (
        ("txt", b"caf\xe9.mp4 1\n"),
        ("txt", b"\xef\xbb\xbfcaf\\udce9.mp4 1\r\n"),  # as this package writes it in tables and results
        ("csv", b"path,label\ncaf\xe9.mp4,1\n"),
        ("csv", b"path,label\ncaf\\udce9.mp4,cartwheel\n"),
    ):
        (tmp_path / f"l.{suffix}").write_bytes(content)
        assert read_records(tmp_path / f"l.{suffix}", NAMES) == [VideoRecord(LATIN1, 1, LATIN1)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "l.txt").write_bytes("a.mp4 0\n".encode(encoding))
    with pytest.raises(AnnotationError, match=r"l\.txt is not UTF-8 text .* Save the list as UTF-8"):
        read_records(tmp_path / "l.txt", NAMES)


ACTIONS = ("arm wrestling", "wrestling", "rope 2", "swimming")


@pytest.mark.parametrize("labeled", [True, False])
def test_class_names_in_lines(tmp_path: Path, labeled: bool) -> None:
    file = write(tmp_path, "my a.mp4 arm wrestling\nb.AVI\twrestling\nc d.mkv  rope 2\nswimming.mp4 3\n")
    expected = [("my a.mp4", 0), ("b.AVI", 1), ("c d.mkv", 2), ("swimming.mp4", 3)]
    assert [(record.path, record.label) for record in read_records(file, ACTIONS, labeled=labeled)] == expected


def test_class_names_after_folders_of_frames(tmp_path: Path) -> None:
    file = write(tmp_path, "frames/my arm arm wrestling\n")
    assert read_records(file, ACTIONS) == [VideoRecord("frames/my arm", 0, "frames/my arm")]
    # in a list that needs no labels it may be the folder's name
    assert read_records(file, ACTIONS, labeled=False)[0].label == UNLABELED


def test_a_misspelled_class_name_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    for labeled in (True, False):
        with pytest.raises(AnnotationError, match=r":1: the label 'arm wresting' .* Did you mean 'arm wrestling'\?"):
            read_records(write(tmp_path, "a.mp4 arm wresting\n"), ACTIONS, labeled=labeled)


def test_a_number_that_is_the_name_of_another_class_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "a.mp4 2\n")
    with pytest.raises(AnnotationError, match=r":1: the label 2 is the number of '0' and the name of class 1"):
        read_records(file, ("1", "2", "0"))
    assert read_records(file, ("0", "1", "2"))[0].label == 2


@pytest.mark.parametrize(
    "text",
    [
        "a/x 120 0\nb/y 31 3\n",
        "a b/x 120 0\nc/y 31 3\n",
        "v.mp4 120 0\nw 1.mp4 31 3\n",
        "a/x 120 arm wrestling\nb/y 31 swimming\n",
    ],
)
def test_numbers_of_frames_before_the_label(tmp_path: Path, text: str) -> None:
    records = read_records(write(tmp_path, text), ACTIONS)
    assert [(record.frames, record.label) for record in records] == [(120, 0), (31, 3)]
    assert [record.path for record in records] == [record.id for record in records]
    assert not any(str(record.path).endswith(("120", "31")) for record in records)


@pytest.mark.parametrize("text", ["take 1 0\ntake 2 0\ntake 3 1\n", "a 1 0\nb 0\n", "my a 1 0\nmy b 2 1\n"])
def test_numbers_that_belong_to_the_path(tmp_path: Path, text: str) -> None:
    for record, line in zip(read_records(write(tmp_path, text), ACTIONS), text.splitlines(), strict=True):
        assert (record.path, record.frames) == (line[:-2], None)


def test_lists_with_offsets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r":1: 'a 0 120 1' has three numbers after the path"):
        read_records(write(tmp_path, "a 0 120 1\nb 0 31 2\n"), ACTIONS)
    with pytest.raises(AnnotationError, match=r":2: 'b 0 2' names a folder with 0 frames"):
        read_records(write(tmp_path, "a 5 1\nb 0 2\n"), ACTIONS)


@pytest.mark.parametrize("name", ["l.txt", "l.csv"])
@pytest.mark.parametrize("labels", [(1, 2, 3, 4), (0, 1, 4, 2)])
def test_labels_that_count_from_one_are_refused(tmp_path: Path, name: str, labels: tuple[int, ...]) -> None:
    table = name.endswith("csv")
    lines = [f"{k}.mp4{',' if table else ' '}{label}\n" for k, label in enumerate(labels)]
    with pytest.raises(AnnotationError, match=r"the label 4 is outside .* numbers the classes from 1, subtract 1"):
        read_records(write(tmp_path, ("path,label\n" if table else "") + "".join(lines), name), ACTIONS)


@pytest.mark.parametrize("name", ["l.txt", "l.csv"])
def test_labels_one_above_those_of_the_class_folders_are_refused(tmp_path: Path, name: str) -> None:
    def listed(*rows: tuple[str, int]) -> Path:
        head, between = ("path,label\n", ",") if name.endswith("csv") else ("", " ")
        return write(tmp_path, head + "".join(f"{path}{between}{label}\n" for path, label in rows), name)

    shifted = [("x/arm_wrestling/a.mp4", 1), ("wrestling/b.mp4", 2), ("swimming/c.mp4", 3)]
    line = 2 if name.endswith("csv") else 1
    with pytest.raises(
        AnnotationError, match=rf":{line}: x/arm_wrestling/a.mp4 has the label 1, 'wrestling', .* 2 of 3 labels"
    ):
        read_records(listed(*shifted), ACTIONS)
    # otherwise the folders are not those of the classes
    assert len(read_records(listed(*shifted, ("rope 2/d.mp4", 0)), ACTIONS)) == 4
    assert len(read_records(listed(shifted[0], shifted[2]), ACTIONS)) == 2
