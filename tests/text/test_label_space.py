import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.resources import shipped
from ost_lightning.text import Descriptors, LabelSpace, LabelSpaceError

texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
class_names = texts.filter(lambda name: not name.startswith(("#", "﻿")))


def example() -> LabelSpace:
    descriptors = {
        "archery": Descriptors(("a bow", "an arrow"), ("draws", "releases")),
        "bowling": Descriptors(("a lane",), ("rolls", "waits", "cheers")),
    }
    return LabelSpace(("bowling", "archery"), descriptors, "made up", {"model": "none"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(class_names, min_size=1, max_size=5, unique=True),
    lists=st.lists(st.lists(texts, max_size=3), min_size=2, max_size=2),
)
def test_what_is_saved_is_loaded(tmp_path: Path, names: list[str], lists: list[list[str]]) -> None:
    descriptors = {name: Descriptors(tuple(lists[0]), tuple(lists[1])) for name in names}
    saved = LabelSpace(tuple(names), descriptors, "a source", {"model": "m", "n": 3})
    saved.save(tmp_path / "space")
    loaded = LabelSpace.load(tmp_path / "space")
    assert (loaded.names, dict(loaded.descriptors)) == (saved.names, descriptors)
    assert (loaded.source, dict(loaded.provenance)) == ("a source", {"model": "m", "n": 3})


def test_descriptors_follow_the_class_name_not_the_position() -> None:
    labels = example()
    assert labels.descriptors_of("spatio", 1) == (("a lane",), ("a bow",))
    assert labels.select(["archery", "bowling"]).descriptors_of("spatio", 1) == (("a bow",), ("a lane",))


def test_the_first_n_are_taken() -> None:
    assert example().descriptors_of("temporal", 2) == (("rolls", "waits"), ("draws", "releases"))


def test_too_few_descriptors_are_named() -> None:
    with pytest.raises(LabelSpaceError, match=r"1 of 2 classes .* fewer than 2 spatio .*'bowling' has 1"):
        example().descriptors_of("spatio", 2)


def test_class_without_descriptors_is_named(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\nswimming\n")
    (tmp_path / "descriptors.json").write_text('{"classes": {"archery": {"spatio": ["x"], "temporal": ["y"]}}}')
    with pytest.raises(LabelSpaceError, match=rf"{tmp_path}.*'swimming' has 0"):
        LabelSpace.load(tmp_path).descriptors_of("spatio", 1)


def test_classes_alone_are_enough_until_descriptors_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("# from a shelf\n\narchery\n  bowling \r\n")
    labels = LabelSpace.load(tmp_path)
    assert labels.names == ("archery", "bowling")
    assert labels.source == "from a shelf"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"classes": {', "descriptors.json:1: not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"classes": []}', "must be a JSON object"),
        ('{"classes": {"a": ["x"]}}', "the class 'a' must have"),
        ('{"classes": {"a": {"spatio": "x"}}}', "the class 'a' must have"),
        ('{"classes": {"a": {"spatio": ["x", " "]}}}', "the class 'a' must have"),
    ],
)
def test_malformed_descriptors_are_named(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "classes.txt").write_text("a\n")
    (tmp_path / "descriptors.json").write_text(content)
    with pytest.raises(LabelSpaceError, match=what):
        LabelSpace.load(tmp_path)


def test_unknown_and_empty_and_repeated(tmp_path: Path) -> None:
    with pytest.raises(LabelSpaceError, match=r"no label space 'nonsense'.*comes with the package: .*kinetics400"):
        LabelSpace.load("nonsense")
    (tmp_path / "classes.txt").write_text("# nothing\n")
    with pytest.raises(LabelSpaceError, match="has no classes"):
        LabelSpace.load(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\na\n")
    with pytest.raises(LabelSpaceError, match="names 'a' twice"):
        LabelSpace.load(tmp_path)
    with pytest.raises(LabelSpaceError, match="no class 'swimming'"):
        example().select(["swimming"])


@pytest.mark.parametrize("name", sorted(path.parent.name for path in shipped("data").glob("*/classes.txt")))
def test_shipped_label_spaces_are_complete(name: str) -> None:
    labels = LabelSpace.load(name)
    for kind in ("spatio", "temporal"):
        assert len(labels.descriptors_of(kind, 8)) == len(labels)
    assert labels.source
    assert labels.provenance["source"]


def test_counts_of_shipped_label_spaces() -> None:
    assert len(LabelSpace.load("kinetics400")) == 400
    assert len(LabelSpace.load("hmdb51")) == 51
    raw = json.loads((shipped("data") / "hmdb51" / "descriptors.json").read_text())
    assert set(raw["classes"]) == set(LabelSpace.load("hmdb51").names)
