import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.text.foreign_descriptors import (
    check_alignment,
    read_any_class_list,
    read_indexed,
    read_table,
    write_class_list,
    write_indexed,
    write_table,
)

texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
label_spaces = st.dictionaries(
    texts, st.tuples(st.lists(texts, min_size=1, max_size=4), st.lists(texts, min_size=1, max_size=4)), min_size=1
).map(
    lambda lists: LabelSpace(
        tuple(lists), {name: Descriptors(tuple(spatio), tuple(steps)) for name, (spatio, steps) in lists.items()}
    )
)
any_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_fixture
@given(labels=label_spaces)
def test_index_keyed_files_round_trip(tmp_path: Path, labels: LabelSpace) -> None:
    write_indexed(labels, {"spatio": tmp_path / "s.json", "temporal": tmp_path / "t.json"})
    write_class_list(labels, tmp_path / "classes.csv")
    names = read_any_class_list(tmp_path / "classes.csv").names
    assert names == labels.names
    assert read_indexed(names, {"spatio": tmp_path / "s.json", "temporal": tmp_path / "t.json"}) == labels.descriptors


@any_fixture
@given(labels=label_spaces)
def test_tables_round_trip(tmp_path: Path, labels: LabelSpace) -> None:
    write_table(labels, tmp_path / "d.csv")
    assert read_table(tmp_path / "d.csv", labels.names) == labels.descriptors


def test_index_keyed_files_have_the_released_format(tmp_path: Path) -> None:
    labels = LabelSpace(
        ("b", "a"), {"a": Descriptors(("x", "y"), ("p", "q")), "b": Descriptors(("v", "w"), ("r", "s"))}
    )
    write_indexed(labels, {"spatio": tmp_path / "s.json"}, per_class=1)
    assert json.loads((tmp_path / "s.json").read_text()) == {"0": ["v"], "1": ["x"]}
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_keys_matter_not_their_order(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"1": ["second"], "0": ["first"]}')
    assert read_indexed(("a", "b"), {"spatio": tmp_path / "s.json"})["a"].spatio == ("first",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"0": ["x"]}', r"has 1 keys, but the list of classes has 2 names.*first wrong one: 1"),
        ('{"0": ["x"], "1": ["y"], "2": ["z"]}', "first wrong one: 2"),
        ('{"0": ["x"], "0": ["y"]}', "Expected the keys 0 to 1, each once"),
        ('{"1": ["x"], "2": ["y"]}', "first wrong one: 0"),
        ('{"0": ["x"], "1": []', "s.json:1: not valid JSON"),
        ('{"0": ["x"], "1": [" "]}', "the key 1 must have a list of non-empty strings"),
        ('{"0": ["x"], "1": {"a": "b"}}', "the key 1 must have a list"),
        ('["x", "y"]', "must be a JSON object"),
    ],
)
def test_files_that_do_not_match_the_classes_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_indexed(("a", "b"), {"spatio": tmp_path / "s.json"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,text\na,b\n", "header is 'name,text'"),
        ("class,kind,rank,descriptor\nz,spatio,1,x\n", r"d.csv:2: 'z' is not in the list of classes"),
        ("class,kind,rank,descriptor\na,spatial,1,x\n", "d.csv:2: expected a kind"),
        ("class,kind,rank,descriptor\na,spatio,first,x\n", "d.csv:2: expected a kind"),
        ("class,kind,rank,descriptor\na,spatio,1,\n", "d.csv:2: expected a kind"),
        (
            "class,kind,rank,descriptor\na,spatio,1,x\na,spatio,1,y\n",
            "d.csv:3: .* already has a spatio descriptor of rank 1",
        ),
        ("class,kind,rank,descriptor\na,spatio,1,x\na,spatio,3,y\n", "have gaps, expected 1 to 2"),
        ("class,kind,rank,descriptor\na,spatio\n", "d.csv:2: 2 fields, expected 4"),
        ("class,kind,rank,descriptor\na,spatio,1,x, y\n", "d.csv:2: 5 fields, expected 4"),
        ('class,kind,rank,descriptor\na,spatio,1,"x\n', "not valid CSV"),
    ],
)
def test_malformed_tables_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "d.csv", ("a", "b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n0,x\n", ":1: the header is 'a,b'"),
        ("id,name\n1,x\n", ":2: found '1,x', expected '0,'"),
        ("id,name\n0,x\n2,y\n", ":3: found '2,y', expected '1,'"),
        ("id,name\n0,\n", ":2: found '0,', expected '0,' and"),
    ],
)
def test_malformed_class_lists_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_any_class_list(tmp_path / "classes.csv")


def test_a_text_list_has_the_format_of_a_label_space(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("# from a shelf\njump rope\tjump_rope\nbowling\n")
    listed = read_any_class_list(tmp_path / "classes.txt")
    assert (listed.names, listed.published) == (("jump rope", "bowling"), ("jump_rope", "bowling"))
    assert listed.source == "from a shelf"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("classes.txt", read_any_class_list),
        ("classes.csv", read_any_class_list),
        ("table.csv", read_table),
        ("s.json", lambda file: read_indexed(("a",), {"spatio": file})),
    ],
)
def test_files_that_are_not_utf8_are_rejected(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    (tmp_path / name).write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=rf"{name} is not UTF-8 text .* at byte 3\)\. Save it as UTF-8"):
        read(tmp_path / name)


def test_missing_files_are_rejected(tmp_path: Path) -> None:
    for read in (
        lambda file: read_any_class_list(file),
        lambda file: read_table(file),
        lambda file: read_indexed(("a",), {"spatio": file}),
    ):
        with pytest.raises(UserError, match=r"nothing\.csv does not exist"):
            read(tmp_path / "nothing.csv")


@pytest.mark.parametrize("name", ["kinetics400", "hmdb51"])
@pytest.mark.parametrize("shift", [1, -2, 150])
def test_descriptors_of_another_list_are_detected(name: str, shift: int) -> None:
    labels = LabelSpace.load(name)
    check_alignment(labels.descriptors, "right.json")
    entries = [labels.descriptors[name] for name in labels.names]
    moved = {name: entries[(k + shift) % len(entries)] for k, name in enumerate(labels.names)}
    with pytest.raises(UserError, match=r"wrong\.json do not seem to belong to this list"):
        check_alignment(moved, "wrong.json")


def test_descriptors_that_match_no_list_are_detected() -> None:
    names = [f"{letter * 5}ing" for letter in "abcdefghij"]
    unrelated = {name: Descriptors(("a tall tree",), ("grows",)) for name in names}
    one_fits = unrelated | {names[4]: Descriptors((f"a {names[4]}",), ())}
    for descriptors in (unrelated, one_fits):
        with pytest.raises(UserError, match=r"do not seem to belong to this list of classes: [01] of 10 classes"):
            check_alignment(descriptors, "wrong.json")
    check_alignment(dict(list(unrelated.items())[:7]), "short.json")  # too short to check
