from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace, Templates, TokenCount, lint
from ost_lightning.vocabulary import SENTENCE_KINDS

LABELS = LabelSpace(
    ("archery", "{odd}"),
    {"archery": Descriptors(("a bow", "a target"), ("draws", "aims")), "{odd}": Descriptors(("x", "y"), ("p", "q"))},
)


def test_default_templates_give_the_sentences_of_the_paper() -> None:
    sentences = Templates.load("ost").apply(LABELS, SENTENCE_KINDS, 2).sentences
    assert sentences["name"][0] == ("a video of a person archery.",)
    assert sentences["spatio"][0] == ("This is a video about a bow", "This is a video about a target")
    assert sentences["temporal"][0] == (
        "A video of archery usually includes draws",
        "A video of archery usually includes aims",
    )


def test_braces_in_class_names_are_literal() -> None:
    assert Templates.load("ost").apply(LABELS, ("name",), 1).sentences["name"][1] == ("a video of a person {odd}.",)


def test_only_requested_kinds_need_descriptors() -> None:
    bare = LabelSpace(("archery",))
    assert set(Templates.load("ost").apply(bare, ("name",), 4).sentences) == {"name"}


def test_several_name_templates_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text('name: ["{name}", "someone {name}"]\nspatio: "{name}: {descriptor}"\ntemporal: "{descriptor}"\n')
    sentences = Templates.load(str(file)).apply(LABELS, SENTENCE_KINDS, 1).sentences
    assert sentences["name"][0] == ("archery", "someone archery")
    assert sentences["spatio"][0] == ("archery: a bow",)


def test_rephrased_names_go_through_every_template(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text('name: ["{name}", "someone {name}"]\nspatio: "{descriptor}"\ntemporal: "{descriptor}"\n')
    written = {"a": ("shooting arrows", "aiming"), "b": ("rolling a ball",), "c": ()}
    labels = LabelSpace(tuple(written), {name: Descriptors((), (), texts) for name, texts in written.items()})
    assert labels.wordings() == (("a", "shooting arrows"), ("b", "rolling a ball"), ("c", "c"))
    sentences = Templates.load(str(file)).apply(labels, ("name",), 1).sentences["name"]
    assert sentences[0] == ("a", "someone a", "shooting arrows", "someone shooting arrows")
    assert sentences[2] == ("c", "someone c", "c", "someone c")
    assert LABELS.wordings() == (("archery",), ("{odd}",))


def test_the_short_template_is_used_where_the_long_one_does_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "name: ['{name}', 'someone is {name} here']\nspatio: 'about {descriptor}'\n"
        "temporal: '{name} includes {descriptor}'\nshort: {temporal: '{descriptor}', name: 'some {name}'}\n"
    )
    templates = Templates.load(str(file))
    tokens = TokenCount(lambda texts: [len(text.split()) for text in texts], 3, "spaces")
    texts = Descriptors(("a bow and arrow", "a bow"), ("aims", "draws the bow", "aims and draws the bow"))
    labels = LabelSpace(("archery",), {"archery": texts})
    sentences = templates.apply(labels, SENTENCE_KINDS, 2, tokens).sentences
    assert sentences["name"] == (("archery", "some archery"),)
    assert sentences["spatio"] == (("about a bow and arrow", "about a bow"),)  # has no short form
    assert sentences["temporal"] == (("archery includes aims", "draws the bow"),)
    assert templates.apply(labels, ("temporal",), 2).sentences["temporal"][0][1] == "archery includes draws the bow"
    long = [
        (found.kind, found.text, found.detail) for found in lint(labels, templates, tokens) if found.rule == "too long"
    ]
    assert long == [
        ("spatio", "a bow and arrow", "has 5 tokens in its template, limit 3 (spaces)"),
        ("temporal", "aims and draws the bow", "has 5 tokens in its short template, limit 3 (spaces)"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nspatio: '{descriptor}'\ntemporal: '{descriptor}'", "name template 'a'.*must contain {name}"),
        ("name: '{name}'\nspatio: '{name}'\ntemporal: '{descriptor}'", "spatio template .*must contain {descriptor}"),
        (
            "name: '{name}'\nspatio: '{descriptor} {x}'\ntemporal: '{descriptor}'",
            "nothing but {descriptor} and {name} in braces",
        ),
        ("name: '{name}'", "exactly the keys"),
        (
            "name: '{name}'\nspatio: '{descriptor}'\ntemporal: '{descriptor}'\nshort: {spatio: '{name}'}",
            "spatio template '{name}' .*must contain {descriptor}",
        ),
        ("name: '{name}'\nshort: {all: '{descriptor}'}", "short must be a mapping from name, spatio, temporal"),
        ("name: '{name}'\nshort: {spatio: 3}", "short must be a mapping"),
        ("name: 3\nspatio: '{descriptor}'\ntemporal: '{descriptor}'", "must be a string"),
    ],
)
def test_malformed_templates_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        Templates.load(str(file))
    assert str(file) in str(caught.value)


def test_unknown_templates_are_rejected() -> None:
    with pytest.raises(UserError, match=r"no sentence templates 'nonsense'.*one of: .*ost"):
        Templates.load("nonsense")


def test_templates_condition_as_in_table_4d() -> None:
    conditioned = {
        choice: {
            kind
            for kind in ("spatio", "temporal")
            if "archery" in Templates.load(f"condition_{choice}").apply(LABELS, (kind,), 1).sentences[kind][0][0]
        }
        for choice in ("none", "spatio", "temporal", "both")
    }
    assert conditioned == {
        "none": set(),
        "spatio": {"spatio"},
        "temporal": {"temporal"},
        "both": {"spatio", "temporal"},
    }
    assert Templates.load("condition_temporal") == Templates.load("ost")  # the default of the paper


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_descriptors_of_a_ranked_list_are_used(count: int) -> None:
    sentences = Templates.load("ost").apply(LABELS, ("spatio", "temporal"), count).sentences
    assert [len(row) for rows in sentences.values() for row in rows] == [count] * 4
    assert sentences["spatio"][0][0].endswith("a bow")
    assert sentences["temporal"][0][0].endswith("draws")


def test_templates_of_vanilla_clip() -> None:
    """Checks 28 sentences for Kinetics, 48 for UCF101 and the bare name, all distinct."""
    labels = LabelSpace(("archery",))
    for name, count in (("clip_kinetics", 28), ("clip_ucf101", 48), ("raw_name", 1)):
        ((row,),) = Templates.load(name).apply(labels, ("name",), 1).sentences.values()
        assert len(row) == len(set(row)) == count
    assert row == ("archery",)
    assert (
        "a demonstration of the person practicing archery."
        in Templates.load("clip_ucf101").apply(labels, ("name",), 1).sentences["name"][0]
    )


@pytest.mark.parametrize("name", ["ucf101", "ucf101-base", "ucf101-novel"])
def test_the_released_templates_spell_ucf101_as_published(name: str) -> None:
    labels = LabelSpace.load(name)
    label = labels.published.index("ApplyEyeMakeup") if "ApplyEyeMakeup" in labels.published else 0
    released, default = Templates.load("released"), Templates.load("ost")
    assert (released.spells_as_published(labels), default.spells_as_published(labels)) == (True, False)
    for templates, spelling in ((released, labels.published), (default, labels.names)):
        sentences = templates.apply(labels, SENTENCE_KINDS, 1).sentences
        assert sentences["name"][label] == (f"a video of a person {spelling[label]}.",)
        assert sentences["temporal"][label][0].startswith(f"A video of {spelling[label]} usually includes ")


def test_spelling_depends_on_templates_and_label_space() -> None:
    released, default = Templates.load("released"), Templates.load("ost")
    assert default.spells_as_published(LabelSpace.load("hmdb51-raw"))
    assert default.spells_as_published(LabelSpace.load("ssv2"))  # shipped with published names
    for name in ("hmdb51", "kinetics600"):
        assert not released.spells_as_published(LabelSpace.load(name))
    assert released.apply(LabelSpace.load("hmdb51"), ("name",), 1).sentences["name"][0] == (
        "a video of a person brush hair.",
    )
    # a part of the name, or of the folder's path, is not the name
    assert not released.spells_as_published(LabelSpace(("a b",), origin="/ucf101/own", published=("AB",)))
    assert not released.spells_as_published(LabelSpace(("a b",), origin="my-ucf101", published=("AB",)))
