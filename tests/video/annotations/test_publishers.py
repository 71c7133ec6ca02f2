"""Tests of the publishers' formats: examples, every kind of mistake, and fuzzing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.video.annotations import (
    AnnotationError,
    ClassIndex,
    EmptySegmentWarning,
    VideoRecord,
    check_ssv2_labels,
    read_activitynet,
    read_hmdb51,
    read_kinetics,
    read_ssv2,
    read_ucf101,
)

NAMES = ("brush hair", "catch", "hug")
CLASSES = ClassIndex(NAMES, ("brush_hair", "Catch", "hug"))
KINETICS = """label,youtube_id,time_start,time_end,split
catch,--07WQ2iBlw,1,11,validate
brush hair,-0IErS_cisg,16,26,validate
"a_b" "c",0000000000A,0,10,validate
""".replace('"a_b" "c"', "hug")
SSV2 = [
    {"id": "78687", "label": "catch a potato", "template": "Cat[ch]", "placeholders": ["a potato"]},
    {"id": 5, "template": "hug"},
]


def write(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text, encoding="utf-8", newline="")
    return file


def ucf(folder: Path, train: str = "", test: str = "", classes: str = "1 brush_hair\n2 Catch\n3 hug\n") -> Path:
    write(folder, "classInd.txt", classes)
    write(folder, "trainlist01.txt", train)
    write(folder, "testlist01.txt", test)
    return folder


def hmdb(folder: Path, *files: str) -> Path:
    for name, text in zip(CLASSES.published, files, strict=True):
        write(folder, f"{name}_test_split2.txt", text)
    return folder


def video(*segments: tuple[object, object, object], subset: str = "training") -> dict[str, Any]:
    annotations = [{"label": label, "segment": [start, end]} for label, start, end in segments]
    return {"subset": subset, "duration": 9.0, "annotations": annotations}


def test_kinetics(tmp_path: Path) -> None:
    assert read_kinetics(write(tmp_path, "val.csv", KINETICS), CLASSES) == [
        VideoRecord("--07WQ2iBlw_000001_000011.mp4", 1, "--07WQ2iBlw_000001_000011"),
        VideoRecord("-0IErS_cisg_000016_000026.mp4", 0, "-0IErS_cisg_000016_000026"),
        VideoRecord("0000000000A_000000_000010.mp4", 2, "0000000000A_000000_000010"),
    ]
    other = 'youtube_id,label,time_end,time_start,split,is_cc\n--07WQ2iBlw,"hug",11.0,1.0,train,0\n'
    assert read_kinetics(write(tmp_path, "t.csv", other), CLASSES)[0].id == "--07WQ2iBlw_000001_000011"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("youtube_id,time_start,time_end,split\n", ":1:", "not the header of a Kinetics file"),
        ("label,youtube_id,time_start,time_end,note\n", ":1:", "not the header"),
        (KINETICS + "catch,--07WQ2iBlw,1,11\n", ":5:", "4 fields where the header has 5"),
        (
            KINETICS + "cath,--07WQ2iBlw,1,11,train\n",
            ":5:",
            "'cath' is not one of the 3 classes",
        ),
        (KINETICS + "catch,--07WQ2iBl,1,11,train\n", ":5:", "not a YouTube id"),
        (KINETICS + "catch,--07WQ2iBlw,11,1,train\n", ":5:", "'11' to '1' is not a part"),
        (KINETICS + "catch,--07WQ2iBlw,11,11,train\n", ":5:", "'11' to '11' is not a part"),
        (KINETICS + "catch,--07WQ2iBlw,1.5,11,train\n", ":5:", "'1.5' to '11' is not a part"),
        (KINETICS + '"catch,--07WQ2iBlw,1,11,train\n', ":5:", "not valid CSV"),
        (KINETICS.split("\n")[0] + "\n", "", "lists no videos"),
        ("", ":1:", "not the header"),
    ],
)
def test_mistakes_in_kinetics(tmp_path: Path, text: str, where: str, what: str) -> None:
    file = write(tmp_path, "val.csv", text)
    with pytest.raises(AnnotationError) as caught:
        read_kinetics(file, CLASSES)
    assert f"{file}{where}" in str(caught.value)
    assert what in str(caught.value)


def test_ucf101(tmp_path: Path) -> None:
    folder = ucf(tmp_path, "Catch/v_Catch_g08_c01.avi 2\n\nhug/v_hug_g08_c01.avi 3\r\n", "hug/v_hug_g01_c01.avi\n")
    assert read_ucf101(folder, "train", 1, CLASSES) == [
        VideoRecord("v_Catch_g08_c01.avi", 1, "v_Catch_g08_c01.avi"),
        VideoRecord("v_hug_g08_c01.avi", 2, "v_hug_g08_c01.avi"),
    ]
    assert [record.label for record in read_ucf101(folder, "test", 1, CLASSES)] == [2]


@pytest.mark.parametrize(
    ("files", "part", "where", "what"),
    [
        ({"train": "Catch/v.avi\n"}, "train", "trainlist01.txt:1:", "not a line of trainlist01.txt"),
        (
            {"train": "Catch/v.avi 2\nCatch/v.avi 3\n"},
            "train",
            "trainlist01.txt:2:",
            "the number 3 is not that",
        ),
        ({"train": "Catch/v.avi 2x\n"}, "train", "trainlist01.txt:1:", "the number 2x is not that of Catch"),
        ({"test": "v.avi\n"}, "test", "testlist01.txt:1:", "not a line of testlist01.txt"),
        ({"test": "Throw/v.avi\n"}, "test", "testlist01.txt:1:", "'Throw' is not one of the 3 classes"),
        ({"test": "Catch/\n"}, "test", "testlist01.txt:1:", "names no video"),
        ({"test": "Catch/v.avi 2\n"}, "test", "testlist01.txt:1:", "not a line of testlist01.txt"),
        ({"test": "\n"}, "test", "testlist01.txt", "lists no videos"),
        ({"train": "Catch/v.avi 2\n", "classes": "1 hug\n1 Catch\n"}, "train", "classInd.txt:2:", "each number once"),
        ({"train": "Catch/v.avi 2\n", "classes": "1 hug\n2 Throw\n"}, "train", "classInd.txt:2:", "'Throw' is not one"),
    ],
)
def test_mistakes_in_ucf101(tmp_path: Path, files: dict[str, str], part: Any, where: str, what: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        read_ucf101(ucf(tmp_path, **files), part, 1, CLASSES)
    assert f"{tmp_path / where}" in str(caught.value)
    assert what in str(caught.value)


def test_hmdb51(tmp_path: Path) -> None:
    folder = hmdb(tmp_path, "a_brush_hair_u.avi 1 \nb.avi 2\nc c.avi 0 \n", "d.avi 2\n", "e.avi 1\n")
    test = read_hmdb51(folder, "test", 2, CLASSES, [0, 1])
    assert test == [VideoRecord("b.avi", 0, "b.avi"), VideoRecord("d.avi", 1, "d.avi")]
    assert [record.label for record in read_hmdb51(folder, "train", 2, CLASSES, [0, 1, 2])] == [0, 2]


@pytest.mark.parametrize("line", ["b.avi 3", "b.avi", "2", "x/b.avi 1", "b.avi -1"])
def test_mistakes_in_hmdb51(tmp_path: Path, line: str) -> None:
    folder = hmdb(tmp_path, f"a.avi 1\n{line}\n", "", "")
    with pytest.raises(AnnotationError, match=r"brush_hair_test_split2\.txt:2: .* is not `name\.avi use`"):
        read_hmdb51(folder, "train", 2, CLASSES, [0])
    with pytest.raises(AnnotationError, match=r"Catch_test_split1\.txt does not exist"):
        read_hmdb51(folder, "train", 1, CLASSES, [1])
    with pytest.raises(AnnotationError, match="lists no videos"):
        read_hmdb51(folder, "train", 2, CLASSES, [1])


def test_ssv2(tmp_path: Path) -> None:
    file = write(tmp_path, "train.json", SSV2)
    assert read_ssv2(file, CLASSES) == [VideoRecord("78687.webm", 1, "78687"), VideoRecord("5.webm", 2, "5")]
    check_ssv2_labels(write(tmp_path, "labels.json", {"brush hair": "0", "Catch": "1", "hug": 2}), CLASSES)
    with pytest.raises(AnnotationError, match=r"'hug' has the number 1; in the label space it is 2"):
        check_ssv2_labels(write(tmp_path, "labels.json", {"hug": "1"}), CLASSES)
    with pytest.raises(AnnotationError, match=r"labels\.json is not a mapping of class names to numbers"):
        check_ssv2_labels(write(tmp_path, "labels.json", ["hug"]), CLASSES)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({}, "not a list of videos"),
        ([*SSV2, {"id": "1"}], r"train\.json: \[2\]: the video 1 has no template"),
        ([*SSV2, {"id": "x1", "template": "hug"}], r"\[2\]: the id 'x1' is not the number of a video"),
        ([*SSV2, {"id": True, "template": "hug"}], r"\[2\]: the id True is not"),
        ([*SSV2, {"id": "1", "template": "Hug [something]"}], r"\[2\]\.template: 'Hug something' is not one of the"),
        ([*SSV2, "1"], r"\[2\]: the id None is not"),
        ([], "lists no videos"),
        ('[{"id": "1",\n', r"train\.json:2: not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_mistakes_in_ssv2(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(AnnotationError, match=what):
        read_ssv2(write(tmp_path, "train.json", content), CLASSES)


def test_activitynet(tmp_path: Path) -> None:
    database = {
        "b-_YZ": video(("hug", 0.5, 2), ("Catch", 3, 8.25)),
        "other": video(("hug", 1, 2), subset="validation"),
        "hidden": {"subset": "testing", "annotations": []},
    }
    file = write(tmp_path, "a.json", {"database": database, "version": "VERSION 1.3"})
    assert read_activitynet(file, "training", CLASSES) == [
        VideoRecord("v_b-_YZ.mp4", 2, "b-_YZ#0", 0.5, 2.0),
        VideoRecord("v_b-_YZ.mp4", 1, "b-_YZ#1", 3.0, 8.25),
    ]
    assert read_activitynet(file, "training", CLASSES, "video") == [VideoRecord("v_b-_YZ.mp4", 1, "b-_YZ")]
    assert [record.id for record in read_activitynet(file, "validation", CLASSES)] == ["other#0"]


def test_activities_without_duration_are_skipped_with_a_warning(tmp_path: Path) -> None:
    database = {"x": video(("hug", 1, 1), ("hug", 1, 2)), "y": video(("hug", 3, 3))}
    file = write(tmp_path, "a.json", {"database": database})
    with pytest.warns(EmptySegmentWarning, match=r"2 activities .*database\.x\.annotations\[0\], .*database\.y"):
        assert len(read_activitynet(file, "training", CLASSES)) == 1
    with pytest.warns(EmptySegmentWarning):
        assert [record.id for record in read_activitynet(file, "training", CLASSES, "video")] == ["x"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "no mapping under the key database"),
        ({"database": {"x": {"subset": "train"}}}, r"database\.x: not a video with a subset"),
        ({"database": {"x": {"subset": "training"}}}, r"database\.x\.annotations: not a list"),
        ({"database": {"x": video(("Hug", 0, 1))}}, r"x\.annotations\[0\]: 'Hug' is not one of"),
        ({"database": {"x": video((3, 0, 1))}}, r"x\.annotations\[0\]: not an activity"),
        ({"database": {"x": video(("hug", 2, 1))}}, r"annotations\[0\]: the segment ends \(1 s\) before"),
        ({"database": {"x": video(("hug", -1, 1))}}, r"the start '-1' is not a time"),
        ({"database": {"x": video(("hug", None, 1))}}, r"the start 'None' is not a number"),
        ({"database": {"x": video(("hug", 0, float("inf")))}}, r"the end 'inf' is not a time"),
        ({"database": {}}, "lists no videos"),
    ],
)
def test_mistakes_in_activitynet(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(AnnotationError, match=what):
        read_activitynet(write(tmp_path, "a.json", content), "training", CLASSES)


def test_ambiguous_class_names_are_refused() -> None:
    with pytest.raises(AnnotationError, match="'hug' is the name of class 1 and the publisher's spelling of class 0"):
        ClassIndex(("embrace", "hug"), ("hug", "Hug"))


READERS: dict[str, tuple[str, Callable[[Path], list[VideoRecord]]]] = {
    "kinetics": ("val.csv", lambda folder: read_kinetics(folder / "val.csv", CLASSES)),
    "ucf train": ("trainlist01.txt", lambda folder: read_ucf101(folder, "train", 1, CLASSES)),
    "ucf test": ("testlist01.txt", lambda folder: read_ucf101(folder, "test", 1, CLASSES)),
    "ucf classes": ("classInd.txt", lambda folder: read_ucf101(folder, "train", 1, CLASSES)),
    "hmdb": ("brush_hair_test_split2.txt", lambda folder: read_hmdb51(folder, "train", 2, CLASSES, [0])),
    "ssv2": ("train.json", lambda folder: read_ssv2(folder / "train.json", CLASSES)),
    "activitynet": ("a.json", lambda folder: read_activitynet(folder / "a.json", "training", CLASSES)),
}


def miniature(folder: Path) -> None:
    """Writes a valid file of every kind; each id contains the name of its class."""
    ucf(folder, "Catch/catch1.avi 2\nhug/hug1.avi 3\n", "hug/hug2.avi\nCatch/catch2.avi\n")
    hmdb(folder, "brush1.avi 1\nbrush2.avi 2\nbrush3.avi 1\n", "", "")
    write(folder, "val.csv", KINETICS)
    write(folder, "train.json", SSV2)
    write(folder, "a.json", {"database": {"hug": video(("hug", 0, 1)), "catch": video(("Catch", 0, 1))}})


def read_or_named(read: Callable[[Path], list[VideoRecord]], folder: Path) -> list[VideoRecord]:
    """Reads records; returns an empty list after an error that names the file."""
    try:
        return read(folder)
    except AnnotationError as error:
        if str(folder) not in str(error):
            raise
        return []


@pytest.mark.filterwarnings("ignore::ost_lightning.video.annotations.EmptySegmentWarning")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
@pytest.mark.parametrize("kind", READERS)
def test_any_text_gives_records_or_an_error_that_names_the_file(tmp_path: Path, kind: str, text: str) -> None:
    name, read = READERS[kind]
    miniature(tmp_path)
    write(tmp_path, name, text)
    assert all(0 <= record.label < len(NAMES) for record in read_or_named(read, tmp_path))


@pytest.mark.filterwarnings("ignore::ost_lightning.video.annotations.EmptySegmentWarning")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_never_gives_a_wrong_label(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    name, read = READERS[kind]
    miniature(tmp_path)
    right = {record.id: record.label for record in read(tmp_path)}
    text = (tmp_path / name).read_text()
    start = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 6))
    inserted = data.draw(st.text('0123 ,./_"\n[]{}:x', max_size=3))  # can't spell another class
    write(tmp_path, name, text[:start] + inserted + text[start + removed :])
    for record in read_or_named(read, tmp_path):
        assert record.label == right.get(record.id, record.label)
