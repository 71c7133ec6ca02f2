import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ost_lightning.errors import UserError
from ost_lightning.video.annotations import (
    UNLABELED,
    AnnotationError,
    ClassIndex,
    Columns,
    VideoRecord,
    read_table,
    table_classes,
)

CLASSES = ClassIndex(("brush hair", "catch"), ("brush_hair", "catch"))
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)


def write_parquet(file: Path, **columns: list[object]) -> Path:
    parquet.write_table(pa.table(columns), file)
    return file


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    table = write_parquet(
        tmp_path / "t.parquet", path=["a.mp4", "b.mp4"], label=["brush_hair", "1"], start=[0.5, None], end=[2.0, None]
    )
    assert read_table(table, CLASSES) == [
        VideoRecord("a.mp4", 0, "a.mp4@0.5-2", 0.5, 2.0),
        VideoRecord("b.mp4", 1, "b.mp4"),
    ]
    numbers = write_parquet(tmp_path / "n.parquet", path=["a.mp4"], label=[1], id=[17])
    assert read_table(numbers, CLASSES) == [VideoRecord("a.mp4", 1, "17")]


def test_columns_can_be_renamed_which_allows_unknown_ones(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("clip,action,camera\na.mp4,catch,3\n")
    assert read_table(file, CLASSES, Columns(path="clip", label="action")) == [VideoRecord("a.mp4", 1, "a.mp4")]
    file.write_text("clip,action,from\na.mp4,catch,never\n")
    with pytest.raises(AnnotationError, match=r"t\.csv:2: the from 'never' is not a number of seconds"):
        read_table(file, CLASSES, Columns(path="clip", label="action", start="from"))
    with pytest.raises(AnnotationError, match="unknown column 'clip'"):
        read_table(file, CLASSES)
    with pytest.raises(UserError, match="need different names"):
        Columns(path="label")


def test_class_names_are_taken_from_a_table(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("path,label\na,walking\nb,running\nc,walking\n")
    assert table_classes(file) == ("running", "walking")
    file.write_text("path,label\na,walking\nb,7\n")
    with pytest.raises(AnnotationError, match=r"t\.csv:3: the label '7' does not name a class"):
        table_classes(file)
    file.write_text("path,label\n")
    with pytest.raises(AnnotationError, match="lists no videos"):
        table_classes(file)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a"], "label": ["throw"]}, r"t\.parquet: row 1: the label 'throw' is neither"),
        ({"path": ["a", None], "label": [0, 1]}, r"row 2: the path is empty"),
        ({"path": ["a"], "label": [0], "end": [-1.0]}, "row 1: the end '-1' is not a time"),
        ({"path": ["a"]}, "the column 'label' is missing"),
    ],
)
def test_errors_name_malformed_rows_of_parquet(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_table(write_parquet(tmp_path / "t.parquet", **columns), CLASSES)


def test_invalid_parquet_and_a_missing_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.parquet"
    with pytest.raises(AnnotationError, match="does not exist"):
        read_table(file, CLASSES)
    file.write_text("path,label\n")
    with pytest.raises(AnnotationError, match="not a readable Parquet table"):
        read_table(file, CLASSES)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'ost-lightning\[tables\]'"):
        read_table(file, CLASSES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rows=st.lists(st.tuples(texts, st.integers(0, 1), st.floats(0, 1e6), st.floats(0.001, 1e6)), min_size=1))
def test_written_tables_are_read_back(tmp_path: Path, rows: list[tuple[str, int, float, float]]) -> None:
    paths, labels, starts, lengths = (list(column) for column in zip(*rows, strict=True))
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    table = write_parquet(tmp_path / "t.parquet", path=paths, label=labels, start=starts, end=ends)
    records = read_table(table, CLASSES)
    expected = list(zip(paths, labels, starts, ends, strict=True))
    assert [(record.path, record.label, record.start, record.end) for record in records] == expected
    assert len({record.id for record in records}) == len(set(zip(paths, starts, ends, strict=True)))


def test_labels_are_optional_in_unlabeled_tables(tmp_path: Path) -> None:
    for table in (
        write_parquet(tmp_path / "t.parquet", path=["a.mp4"]),
        write_parquet(tmp_path / "empty.parquet", path=["a.mp4"], label=[None]),
    ):
        assert read_table(table, CLASSES, labeled=False) == [VideoRecord("a.mp4", UNLABELED, "a.mp4")]
        with pytest.raises(AnnotationError, match=r"the label is empty|the column 'label' is missing"):
            read_table(table, CLASSES)
    (tmp_path / "t.csv").write_text("clip,action\na.mp4,catch\nb.mp4,\nc.mp4,throw\n")
    with pytest.raises(AnnotationError, match=r"t\.csv:4: the label 'throw' is neither"):
        read_table(tmp_path / "t.csv", CLASSES, Columns(path="clip", label="action"), labeled=False)


def test_parts_of_a_video_have_distinct_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path,label,start,end,id\na.mp4,0,,,\na.mp4,0,0,4.25,\na.mp4,0,4.25,,\na.mp4,0,,2,\na.mp4,0,1,2,mine\n"
    )
    ids = [record.id for record in read_table(tmp_path / "t.csv", CLASSES)]
    assert ids == ["a.mp4", "a.mp4@0-4.25", "a.mp4@4.25-", "a.mp4@0-2", "mine"]


@pytest.mark.parametrize("none", [float("nan"), None])
def test_missing_times_in_parquet_are_the_ends_of_the_video(tmp_path: Path, none: float | None) -> None:
    table = write_parquet(
        tmp_path / "t.parquet",
        path=["a.mp4", "b.mp4", "c.mp4"],
        label=[1.0, 0.0, 1.0],  # pandas makes floats of a column with gaps
        start=[none, 2.0, none],
        end=[none, none, 3.5],
    )
    records = read_table(table, CLASSES)
    assert [record.span for record in records] == [(None, None), (2.0, None), (None, 3.5)]
    assert [record.id for record in records] == ["a.mp4", "b.mp4@2-", "c.mp4@0-3.5"]
    assert [record.label for record in records] == [1, 0, 1]
    assert [record.line for record in records] == [1, 2, 3]


def test_missing_labels_among_numbers(tmp_path: Path) -> None:
    parquet_table = write_parquet(tmp_path / "t.parquet", path=["a", "b"], label=[1.0, float("nan")])
    csv_table = tmp_path / "t.csv"
    csv_table.write_text("path,label\na,1.0\nb,\n")
    for table in (parquet_table, csv_table):
        assert [record.label for record in read_table(table, CLASSES, labeled=False)] == [1, UNLABELED]
        with pytest.raises(AnnotationError, match="the label is empty"):
            read_table(table, CLASSES)
    fraction = write_parquet(tmp_path / "f.parquet", path=["a"], label=[0.5])
    with pytest.raises(AnnotationError, match=r"the label '0\.5' is neither"):
        read_table(fraction, CLASSES)


@pytest.mark.parametrize("time", [float("inf"), -1.0, "NaN", "later"])
def test_times_that_are_none_are_refused(tmp_path: Path, time: float | str) -> None:
    table = write_parquet(tmp_path / "t.parquet", path=["a"], label=[1], start=[time])
    with pytest.raises(AnnotationError, match=r"row 1: the start '.*' is not a "):
        read_table(table, CLASSES)
