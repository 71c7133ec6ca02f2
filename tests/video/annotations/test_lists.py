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
        ("l.txt", "a.avi zero\n", ":1:", "not a class index"),
        ("l.txt", "a.avi -1\n", ":1:", "not a class index"),
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
