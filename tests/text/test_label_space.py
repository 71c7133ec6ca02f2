import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.text import Descriptors, LabelSpace, LabelSpaceError, OrphanDescriptorsWarning
from ost_lightning.text.label_files import known_names
from tests.operations import counted_names, text_uses

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
def test_saved_label_spaces_are_loaded_unchanged(tmp_path: Path, names: list[str], lists: list[list[str]]) -> None:
    descriptors = {name: Descriptors(tuple(lists[0]), tuple(lists[1])) for name in names}
    saved = LabelSpace(tuple(names), descriptors, "a source", {"model": "m", "n": 3})
    saved.save(tmp_path / "space")
    loaded = LabelSpace.load(tmp_path / "space")
    assert (loaded.names, dict(loaded.descriptors)) == (saved.names, descriptors)
    assert (loaded.source, dict(loaded.provenance)) == ("a source", {"model": "m", "n": 3})


def test_rephrased_names_are_saved_where_there_are_any(tmp_path: Path) -> None:
    descriptors = {"a": Descriptors(("x",), ("y",), ("doing a",)), "b": Descriptors(("x",), ("y",))}
    LabelSpace(("a", "b"), descriptors).save(tmp_path)
    assert LabelSpace.load(tmp_path).descriptors == descriptors
    classes = json.loads((tmp_path / "descriptors.json").read_text())["classes"]
    assert [list(entry) for entry in classes.values()] == [["spatio", "temporal", "rephrased"], ["spatio", "temporal"]]


def test_descriptors_follow_the_class_name_not_the_position() -> None:
    labels = example()
    assert labels.descriptors_of("spatio", 1) == (("a lane",), ("a bow",))
    assert labels.select(["archery", "bowling"]).descriptors_of("spatio", 1) == (("a bow",), ("a lane",))


def test_the_first_n_descriptors_are_returned() -> None:
    assert example().descriptors_of("temporal", 2) == (("rolls", "waits"), ("draws", "releases"))


def test_errors_name_classes_with_too_few_descriptors() -> None:
    with pytest.raises(LabelSpaceError, match=r"1 of 2 classes .* fewer than 2 spatio .*'bowling' has 1"):
        example().descriptors_of("spatio", 2)


def test_errors_name_classes_without_descriptors(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\nswimming\n")
    (tmp_path / "descriptors.json").write_text('{"classes": {"archery": {"spatio": ["x"], "temporal": ["y"]}}}')
    with pytest.raises(LabelSpaceError, match=rf"{tmp_path}.*'swimming' has 0"):
        LabelSpace.load(tmp_path).descriptors_of("spatio", 1)


def test_descriptors_are_optional_until_requested(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("# from a shelf\n\narchery\n  bowling \r\n")
    labels = LabelSpace.load(tmp_path)
    assert labels.names == ("archery", "bowling")
    assert labels.source == "from a shelf"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"classes": {', "descriptors.json:1: not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"classes": []}', "must be a JSON object"),
        ('{"classes": {"a": ["x"]}}', "the class 'a' must have"),
        ('{"classes": {"a": {"spatio": "x"}}}', "the class 'a' must have"),
        ('{"classes": {"a": {"spatio": ["x", " "]}}}', "the class 'a' must have"),
        ('{"classes": {"a": {"rephrased": ["x", 1]}}}', "'a' .* may have such a list \"rephrased\""),
        ('{"classes": {"a": {"spatio": ["x"]}, "a": {"spatio": ["y"]}}}', "descriptors.json: 'a' occurs twice"),
        ('{"classes": {"a": {"spatio": ["x"], "spatio": ["y"]}}}', "descriptors.json: 'spatio' occurs twice"),
    ],
)
def test_malformed_descriptors_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text("a\n")
    (tmp_path / "descriptors.json").write_text(content)
    with pytest.raises(LabelSpaceError, match=message):
        LabelSpace.load(tmp_path)


def test_unknown_empty_and_repeated_classes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(LabelSpaceError, match=r"no label space 'nonsense'.*a shipped label space: .*kinetics400"):
        LabelSpace.load("nonsense")
    (tmp_path / "classes.txt").write_text("# nothing\n")
    with pytest.raises(LabelSpaceError, match="has no classes"):
        LabelSpace.load(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\na\n")
    with pytest.raises(LabelSpaceError, match="names 'a' twice"):
        LabelSpace.load(tmp_path)
    with pytest.raises(LabelSpaceError, match="no class 'swimming'"):
        example().select(["swimming"])


def test_the_publishers_spelling_follows_a_tab_and_is_selected_with_raw(tmp_path: Path) -> None:
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
    labels.save(tmp_path / "copy")
    assert LabelSpace.load(tmp_path / "copy").published == labels.published


def space_with(folder: Path, classes: str = "", selection: str = "", descriptors: str = "") -> Path:
    folder.mkdir()
    for name, text in (("classes.txt", classes), ("selection.txt", selection), ("descriptors.json", descriptors)):
        if text:
            (folder / name).write_text(text)
    return folder


ARCHERY = '{"provenance": {"source": "a"}, "classes": {"archery": {"spatio": ["a bow"], "temporal": ["draws"]}}}'


def test_a_selection_takes_everything_from_its_source(tmp_path: Path) -> None:
    space_with(tmp_path / "complete", "# all\nbowling\tBowling\narchery\nswimming\n", descriptors=ARCHERY)
    part = LabelSpace.load(space_with(tmp_path / "part", selection="# a half\nfrom complete\narchery\nbowling\n"))
    assert part.names == ("archery", "bowling")
    assert part.published == ("archery", "Bowling")
    assert part.select(["archery"]).descriptors_of("spatio", 1) == (("a bow",),)
    assert part.source == "a half"
    assert part.provenance == {"source": "a"}
    assert part.origin == str(tmp_path / "part")


def test_descriptors_are_inherited_by_name_unless_overridden(tmp_path: Path) -> None:
    space_with(tmp_path / "old", "archery\nbowling\n", descriptors=ARCHERY)
    content = '{"inherit": "old", "classes": {"diving": {"spatio": ["a pool"], "temporal": ["jumps"]}%s}}'
    labels = LabelSpace.load(space_with(tmp_path / "new", "archery\ndiving\n", descriptors=content % ""))
    assert labels.descriptors_of("spatio", 1) == (("a bow",), ("a pool",))
    assert labels.provenance == {"inherited": {"from": "old", "source": "a"}}
    override = ', "archery": {"spatio": ["a target"], "temporal": []}'
    labels = LabelSpace.load(space_with(tmp_path / "newer", "archery\ndiving\n", descriptors=content % override))
    assert labels.descriptors_of("spatio", 1) == (("a target",), ("a pool",))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"selection": "archery\n"}, r"selection\.txt:1: 'archery' does not name the source of the selection"),
        ({"selection": "# nothing\n"}, "does not name the source of the selection"),
        ({"selection": "from nowhere\narchery\n"}, "selects from 'nowhere', which is not a label space"),
        ({"selection": "from space\narchery\n"}, "selects from 'space', which is not a label space with"),
        ({"selection": "from kinetics400\nflying\n"}, "kinetics400 has no class 'flying'"),
        ({"selection": "from kinetics400\n"}, "has no classes"),
        ({"selection": "from kinetics400\nyoga\nyoga\n"}, "names 'yoga' twice"),
        ({"classes": "a\tb\tc\n"}, r"classes\.txt:1: 'a\tb\tc' is not a class"),
        ({"classes": "a\tb\nc\tb\n"}, "names 'b' twice"),
        (
            {"classes": "a\n", "descriptors": '{"inherit": "nowhere", "classes": {}}'},
            "inherit from a label space 'nowhere'",
        ),
        (
            {"classes": "a\n", "descriptors": '{"inherit": "space", "classes": {}}'},
            "'space' also inherits descriptors",
        ),
    ],
)
def test_malformed_files_are_rejected(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(LabelSpaceError, match=message):
        LabelSpace.load(space_with(tmp_path / "space", **files))


def test_files_that_are_not_utf8_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(LabelSpaceError, match=r"classes\.txt is not UTF-8"):
        LabelSpace.load(tmp_path)
    (tmp_path / "classes.txt").write_text("archery\n")
    (tmp_path / "descriptors.json").write_bytes(b'{"classes": {"caf\xe9": {}}}')
    with pytest.raises(LabelSpaceError, match=r"descriptors\.json is not UTF-8"):
        LabelSpace.load(tmp_path)


def test_class_folders_name_the_classes_if_there_is_no_list(tmp_path: Path) -> None:
    for name in ("train/jump_rope", "train/.cache", "test/archery", "test/jump_rope"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "descriptors.json").write_text(ARCHERY)
    labels = LabelSpace.load(tmp_path)
    assert (labels.names, labels.published) == (("archery", "jump rope"), ("archery", "jump_rope"))
    with pytest.raises(LabelSpaceError, match="'jump rope' has 0"):
        labels.descriptors_of("spatio", 1)
    (tmp_path / "classes.txt").write_text("archery\n")
    assert LabelSpace.load(tmp_path).names == ("archery",)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\n", encoding="utf-8-sig")
    (tmp_path / "descriptors.json").write_text(ARCHERY, encoding="utf-8-sig")
    assert LabelSpace.load(tmp_path).descriptors_of("spatio", 1) == (("a bow",),)


def test_descriptors_of_no_class_are_named(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\nbowling\n")
    lists = {"spatio": ["a b"], "temporal": ["c d"]}
    content = {"classes": {"archry": lists, "bowling": lists, "x\u202ey": lists}}
    (tmp_path / "descriptors.json").write_text(json.dumps(content))
    with pytest.warns(OrphanDescriptorsWarning, match=r"of 'archry' \(perhaps 'archery'\), 'x\\u202ey', which"):
        labels = LabelSpace.load(tmp_path)
    with pytest.raises(LabelSpaceError, match=r"'archery' has 0\)\. It also has descriptors of 'archry'"):
        labels.descriptors_of("spatio", 1)


def test_descriptors_of_no_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "train" / "jump_rope").mkdir(parents=True)
    lists = {"spatio": ["a b"], "temporal": ["c d"]}
    (tmp_path / "descriptors.json").write_text(json.dumps({"classes": {"jump_rope": lists}}))
    with pytest.warns(OrphanDescriptorsWarning, match=r"of 'jump_rope' \(perhaps 'jump rope'\)"):
        LabelSpace.load(tmp_path)


@pytest.mark.parametrize("name", known_names())
@pytest.mark.filterwarnings("error")
def test_shipped_label_spaces_load_without_warnings(name: str) -> None:
    assert LabelSpace.load(name).names


def test_selecting_looks_at_each_class_a_few_times() -> None:
    labels = LabelSpace(counted_names(1000))
    assert text_uses(lambda: labels.select(labels.names[::2])) < 20 * len(labels)
