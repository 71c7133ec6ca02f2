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
loose = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@loose
@given(labels=label_spaces)
def test_index_keyed_files_come_back(tmp_path: Path, labels: LabelSpace) -> None:
    write_indexed(labels, {"spatio": tmp_path / "s.json", "temporal": tmp_path / "t.json"})
    write_class_list(labels, tmp_path / "classes.csv")
    names = read_any_class_list(tmp_path / "classes.csv").names
    assert names == labels.names
    assert read_indexed(names, {"spatio": tmp_path / "s.json", "temporal": tmp_path / "t.json"}) == labels.descriptors


@loose
@given(labels=label_spaces)
def test_tables_come_back(tmp_path: Path, labels: LabelSpace) -> None:
    write_table(labels, tmp_path / "d.csv")
    assert read_table(tmp_path / "d.csv", labels.names) == labels.descriptors


def test_index_keyed_files_look_like_the_released_ones(tmp_path: Path) -> None:
    labels = LabelSpace(
        ("b", "a"), {"a": Descriptors(("x", "y"), ("p", "q")), "b": Descriptors(("v", "w"), ("r", "s"))}
    )
    write_indexed(labels, {"spatio": tmp_path / "s.json"}, per_class=1)
    assert json.loads((tmp_path / "s.json").read_text()) == {"0": ["v"], "1": ["x"]}
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_keys_count_not_their_order(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"1": ["second"], "0": ["first"]}')
    assert read_indexed(("a", "b"), {"spatio": tmp_path / "s.json"})["a"].spatio == ("first",)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"0": ["x"]}', r"has 1 keys and the list of classes 2 names.*does not fit: 1"),
        ('{"0": ["x"], "1": ["y"], "2": ["z"]}', "first that does not fit: 2"),
        ('{"0": ["x"], "0": ["y"]}', "expected the keys 0 to 1, each once"),
        ('{"1": ["x"], "2": ["y"]}', "first that does not fit: 0"),
        ('{"0": ["x"], "1": []', "s.json:1: not valid JSON"),
        ('{"0": ["x"], "1": [" "]}', "the key 1 must have a list of non-empty texts"),
        ('{"0": ["x"], "1": {"a": "b"}}', "the key 1 must have a list"),
        ('["x", "y"]', "must be a JSON object"),
    ],
)
def test_files_that_do_not_fit_the_classes_are_refused(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UserError, match=what):
        read_indexed(("a", "b"), {"spatio": tmp_path / "s.json"})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("name,text\na,b\n", "header is 'name,text'"),
        ("class,kind,rank,descriptor\nz,spatio,1,x\n", r"d.csv:2: 'z' is not in the list of classes"),
        ("class,kind,rank,descriptor\na,spatial,1,x\n", "d.csv:2: expected a kind"),
        ("class,kind,rank,descriptor\na,spatio,first,x\n", "d.csv:2: expected a kind"),
        ("class,kind,rank,descriptor\na,spatio,1,\n", "d.csv:2: expected a kind"),
        ("class,kind,rank,descriptor\na,spatio,1,x\na,spatio,1,y\n", "d.csv:3: .* rank 1 already"),
        ("class,kind,rank,descriptor\na,spatio,1,x\na,spatio,3,y\n", "are not 1, 2, ... in all"),
        ("class,kind,rank,descriptor\na,spatio\n", "d.csv:2: 2 fields, expected 4"),
        ("class,kind,rank,descriptor\na,spatio,1,x, y\n", "d.csv:2: 5 fields, expected 4"),
        ('class,kind,rank,descriptor\na,spatio,1,"x\n', "not valid CSV"),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    with pytest.raises(UserError, match=what):
        read_table(tmp_path / "d.csv", ("a", "b"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a,b\n0,x\n", ":1: the header is 'a,b'"),
        ("id,name\n1,x\n", ":2: found '1,x', expected '0,'"),
        ("id,name\n0,x\n2,y\n", ":3: found '2,y', expected '1,'"),
        ("id,name\n0,\n", ":2: found '0,', expected '0,' and"),
    ],
)
def test_malformed_class_lists_are_named(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "classes.csv").write_text(content)
    with pytest.raises(UserError, match=what):
        read_any_class_list(tmp_path / "classes.csv")


def test_a_text_list_is_read_as_that_of_a_label_space(tmp_path: Path) -> None:
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
def test_text_that_is_not_utf8_is_told(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    (tmp_path / name).write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=rf"{name} is not UTF-8 text .* at byte 3\)\. Save it as UTF-8"):
        read(tmp_path / name)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for read in (
        lambda file: read_any_class_list(file),
        lambda file: read_table(file),
        lambda file: read_indexed(("a",), {"spatio": file}),
    ):
        with pytest.raises(UserError, match=r"There is no .*nothing\.csv"):
            read(tmp_path / "nothing.csv")


@pytest.mark.parametrize("name", ["kinetics400", "hmdb51"])
@pytest.mark.parametrize("shift", [1, -2, 150])
def test_descriptors_of_another_list_are_noticed(name: str, shift: int) -> None:
    labels = LabelSpace.load(name)
    check_alignment(labels.descriptors, "right.json")
    entries = [labels.descriptors[name] for name in labels.names]
    moved = {name: entries[(k + shift) % len(entries)] for k, name in enumerate(labels.names)}
    with pytest.raises(UserError, match=r"wrong\.json do not seem to belong to this list"):
        check_alignment(moved, "wrong.json")
