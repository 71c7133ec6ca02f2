from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
        ('{"classes": {"a": {"spatio": ["x"]}, "a": {"spatio": ["y"]}}}', "descriptors.json: 'a' occurs twice"),
        ('{"classes": {"a": {"spatio": ["x"], "spatio": ["y"]}}}', "descriptors.json: 'spatio' occurs twice"),
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


def test_the_publishers_spelling_stands_behind_a_tab_and_is_a_label_space_too(tmp_path: Path) -> None:
    space = tmp_path / "space"
    space.mkdir()
    (space / "classes.txt").write_text("jump rope\tJumpRope\nbowling\n")
    (space / "descriptors.json").write_text('{"classes": {"jump rope": {"spatio": ["a rope"], "temporal": ["jumps"]}}}')
    labels = LabelSpace.load(space)
    assert labels.names == ("jump rope", "bowling")
    assert labels.published == ("JumpRope", "bowling")
    raw = LabelSpace.load(f"{space}-raw")
    assert raw.names == raw.published == ("JumpRope", "bowling")
    assert raw.select(["JumpRope"]).descriptors_of("spatio", 1) == (("a rope",),)
    labels.save(tmp_path / "again")
    assert LabelSpace.load(tmp_path / "again").published == labels.published


def space_with(folder: Path, classes: str = "", selection: str = "", descriptors: str = "") -> Path:
    folder.mkdir()
    for name, text in (("classes.txt", classes), ("selection.txt", selection), ("descriptors.json", descriptors)):
        if text:
            (folder / name).write_text(text)
    return folder


ARCHERY = '{"provenance": {"source": "a"}, "classes": {"archery": {"spatio": ["a bow"], "temporal": ["draws"]}}}'


def test_a_selection_takes_everything_from_its_source(tmp_path: Path) -> None:
    space_with(tmp_path / "whole", "# all\nbowling\tBowling\narchery\nswimming\n", descriptors=ARCHERY)
    part = LabelSpace.load(space_with(tmp_path / "part", selection="# a half\nfrom whole\narchery\nbowling\n"))
    assert part.names == ("archery", "bowling")
    assert part.published == ("archery", "Bowling")
    assert part.select(["archery"]).descriptors_of("spatio", 1) == (("a bow",),)
    assert part.source == "a half"
    assert part.provenance == {"source": "a"}
    assert part.origin == str(tmp_path / "part")


def test_descriptors_are_inherited_by_name_and_own_ones_come_first(tmp_path: Path) -> None:
    space_with(tmp_path / "old", "archery\nbowling\n", descriptors=ARCHERY)
    own = '{"inherit": "old", "classes": {"diving": {"spatio": ["a pool"], "temporal": ["jumps"]}%s}}'
    labels = LabelSpace.load(space_with(tmp_path / "new", "archery\ndiving\n", descriptors=own % ""))
    assert labels.descriptors_of("spatio", 1) == (("a bow",), ("a pool",))
    assert labels.provenance == {"inherited": {"from": "old", "source": "a"}}
    better = ', "archery": {"spatio": ["a target"], "temporal": []}'
    labels = LabelSpace.load(space_with(tmp_path / "newer", "archery\ndiving\n", descriptors=own % better))
    assert labels.descriptors_of("spatio", 1) == (("a target",), ("a pool",))


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"selection": "archery\n"}, r"selection\.txt:1: 'archery' does not say what is selected from"),
        ({"selection": "# nothing\n"}, "does not say what is selected from"),
        ({"selection": "from nowhere\narchery\n"}, "selects from 'nowhere', which is not a label space"),
        ({"selection": "from space\narchery\n"}, "selects from 'space', which is not a label space with"),
        ({"selection": "from kinetics400\nflying\n"}, "kinetics400 has no class 'flying'"),
        ({"selection": "from kinetics400\n"}, "has no classes"),
        ({"selection": "from kinetics400\nyoga\nyoga\n"}, "names 'yoga' twice"),
        ({"classes": "a\tb\tc\n"}, r"classes\.txt:1: 'a\tb\tc' is not a class"),
        ({"classes": "a\tb\nc\tb\n"}, "names 'b' twice"),
        ({"classes": "a\n", "descriptors": '{"inherit": "nowhere", "classes": {}}'}, "'nowhere' to inherit"),
        (
            {"classes": "a\n", "descriptors": '{"inherit": "space", "classes": {}}'},
            "'space' inherits descriptors itself",
        ),
    ],
)
def test_malformed_parts_are_named(tmp_path: Path, files: dict[str, str], what: str) -> None:
    with pytest.raises(LabelSpaceError, match=what):
        LabelSpace.load(space_with(tmp_path / "space", **files))


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(LabelSpaceError, match=r"classes\.txt is not UTF-8"):
        LabelSpace.load(tmp_path)
    (tmp_path / "classes.txt").write_text("archery\n")
    (tmp_path / "descriptors.json").write_bytes(b'{"classes": {"caf\xe9": {}}}')
    with pytest.raises(LabelSpaceError, match=r"descriptors\.json is not UTF-8"):
        LabelSpace.load(tmp_path)


def test_folders_of_videos_name_the_classes_where_no_list_does(tmp_path: Path) -> None:
    for name in ("train/jump_rope", "train/.cache", "test/archery", "test/jump_rope"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "descriptors.json").write_text(ARCHERY)
    labels = LabelSpace.load(tmp_path)
    assert (labels.names, labels.published) == (("archery", "jump rope"), ("archery", "jump_rope"))
    with pytest.raises(LabelSpaceError, match="'jump rope' has 0"):
        labels.descriptors_of("spatio", 1)
    (tmp_path / "classes.txt").write_text("archery\n")
    assert LabelSpace.load(tmp_path).names == ("archery",)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\n", encoding="utf-8-sig")
    (tmp_path / "descriptors.json").write_text(ARCHERY, encoding="utf-8-sig")
    assert LabelSpace.load(tmp_path).descriptors_of("spatio", 1) == (("a bow",),)
