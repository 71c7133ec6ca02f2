"""The shipped label spaces, compared with known facts about the data sets."""

import json
import re

import pytest

from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace

COUNTS = {
    "activitynet": 200,
    "hmdb51": 51,
    "hmdb51-base": 26,
    "hmdb51-novel": 25,
    "hmdb51-released": 51,
    "imagenet1k": 1000,
    "k600-split1": 160,
    "k600-split2": 160,
    "k600-split3": 160,
    "kinetics400": 400,
    "kinetics400-base": 200,
    "kinetics400-novel": 200,
    "kinetics600": 600,
    "ssv2": 174,
    "ssv2-base": 87,
    "ssv2-novel": 87,
    "ucf101": 101,
    "ucf101-base": 51,
    "ucf101-novel": 50,
}
WITH_DESCRIPTORS = sorted(path.parent.name for path in shipped("data").glob("*/descriptors.json"))


def test_all_label_spaces_are_shipped() -> None:
    folders = {path.name for path in shipped("data").iterdir() if path.is_dir()}
    assert folders == set(COUNTS)


@pytest.mark.parametrize("name", sorted(set(COUNTS) - {"imagenet1k"}))
def test_classes_and_descriptors_are_complete(name: str) -> None:
    labels = LabelSpace.load(name)
    assert len(labels) == COUNTS[name]
    assert labels.source
    assert "large language model" in labels.provenance["source"]
    for kind in ("spatio", "temporal"):
        rows = labels.descriptors_of(kind, 8)
        assert all(len(set(row)) == 8 for row in rows)


@pytest.mark.parametrize("name", WITH_DESCRIPTORS)
def test_all_descriptors_belong_to_a_class(name: str) -> None:
    content = json.loads((shipped("data") / name / "descriptors.json").read_text())
    assert set(content["classes"]) <= set(LabelSpace.load(name).names)
    for entry in content["classes"].values():
        assert len(entry["spatio"]) == len(entry["temporal"]) == 8


@pytest.mark.parametrize("name", ["kinetics400", "hmdb51", "ucf101", "ssv2"])
def test_base_and_novel_classes_make_up_the_data_set(name: str) -> None:
    base, novel = LabelSpace.load(f"{name}-base").names, LabelSpace.load(f"{name}-novel").names
    assert sorted(base + novel) == sorted(LabelSpace.load(name).names)


def test_zero_shot_splits_contain_no_class_of_kinetics400() -> None:
    known = set(LabelSpace.load("kinetics400").names)
    splits = [set(LabelSpace.load(f"k600-split{number}").names) for number in (1, 2, 3)]
    for names in splits:
        assert names <= set(LabelSpace.load("kinetics600").names) - known
    assert len(set.union(*splits)) == 217


def test_kinetics600_inherits_the_descriptors_of_kinetics400() -> None:
    old, new = LabelSpace.load("kinetics400"), LabelSpace.load("kinetics600")
    shared = set(old.names) & set(new.names)
    assert len(shared) == 369
    assert all(new.descriptors[name] == old.descriptors[name] for name in shared)
    file_content = json.loads((shipped("data") / "kinetics600" / "descriptors.json").read_text())
    assert len(file_content["classes"]) == 231
    assert new.provenance["inherited"]["from"] == "kinetics400"
    label = new.names.index("passing American football (not in game)")
    assert new.published[label] == "passing american football (not in game)"


def test_names_of_ucf101_are_words_and_its_raw_names_are_published() -> None:
    labels, raw = LabelSpace.load("ucf101"), LabelSpace.load("ucf101-raw")
    assert labels.names[0] == "apply eye makeup"
    assert raw.names[0] == labels.published[0] == "ApplyEyeMakeup"
    for name, published in zip(labels.names, labels.published, strict=True):
        assert name == re.sub("(?<=[a-z])(?=[A-Z])", " ", published).lower()
    assert sum(" " in name for name in labels.names) == 77
    assert raw.descriptors_of("spatio", 4) == labels.descriptors_of("spatio", 4)
    assert list(raw.names) == sorted(raw.names, key=str.lower)
    assert set(LabelSpace.load("ucf101-novel-raw").names) < set(raw.names)


def test_hmdb51_is_sorted_and_hmdb51_released_has_the_released_order() -> None:
    labels, released = LabelSpace.load("hmdb51"), LabelSpace.load("hmdb51-released")
    assert list(labels.names) == sorted(labels.names)
    assert labels.published == tuple(name.replace(" ", "_") for name in labels.names)
    swapped = [label for label in range(51) if labels.names[label] != released.names[label]]
    assert [labels.names[label] for label in swapped] == ["kick", "kick ball", "sword", "sword exercise"]
    assert [released.names[label] for label in swapped] == ["kick ball", "kick", "sword exercise", "sword"]


def test_misspellings_of_activitynet_are_corrected_for_clip_only() -> None:
    labels = LabelSpace.load("activitynet")
    corrected = {p: n for n, p in zip(labels.names, labels.published, strict=True) if n != p}
    assert corrected == {
        "Mooping floor": "Mopping floor",
        "Plataform diving": "Platform diving",
        "Playing flauta": "Playing flute",
        "Playing guitarra": "Playing guitar",
        "Polishing forniture": "Polishing furniture",
    }
    assert list(labels.published) == sorted(labels.published)


def test_imagenet1k_has_distinct_names_and_no_descriptors() -> None:
    labels = LabelSpace.load("imagenet1k")
    assert len(labels) == len({name.casefold() for name in labels.names}) == 1000
    assert labels.descriptors == {}
    assert "MIT license" in labels.source
    assert "BSD 3-Clause license" in labels.source
    categories = pytest.importorskip("torchvision.models").ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    assert list(labels.published) == categories
    for label, name in ((134, "crane bird"), (517, "construction crane"), (638, "tights"), (744, "projectile")):
        assert labels.names[label] == name
    names = pytest.importorskip("open_clip").IMAGENET_CLASSNAMES
    other = {label: name for label, name in enumerate(labels.names) if name != names[label]}
    assert other == {744: "projectile", 836: "sunglass"}
    assert [names[label] for label in other] == ["missile", "sunglasses"]


def test_names_of_ssv2_are_templates_without_brackets() -> None:
    labels = LabelSpace.load("ssv2")
    assert labels.names == labels.published
    assert not [name for name in labels.names if re.search(r"[\[\]\"]", name)]
    assert labels.names[0] == "Approaching something with your camera"
    assert labels.names[-1] == "Wiping something off of something"
    assert labels.names[93] == "Pushing something from left to right"
