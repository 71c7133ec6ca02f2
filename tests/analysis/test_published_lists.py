import pytest

from ost_lightning.analysis.published_lists import PublishedList, identify, published_lists, same_classes
from ost_lightning.text import LabelSpace
from tests.analysis.example_runs import SIZES


def test_published_lists_are_recognized_by_their_videos_under_any_name() -> None:
    labels = LabelSpace(("a", "b"))
    digest = SIZES["hmdb51-split2"].digest
    assert digest is not None
    found = identify(digest, labels)
    assert found is not None
    assert found.name == "hmdb51-split2"
    assert identify("0" * 16, labels) is None
    assert same_classes(LabelSpace.load("hmdb51"), "hmdb51")
    assert not same_classes(labels, "hmdb51")
    assert identify("0" * 16, LabelSpace.load("hmdb51")) is None
    kinetics = identify("0" * 16, LabelSpace.load("kinetics400"))
    assert kinetics is not None
    assert kinetics.name == "kinetics400-validation"


def test_training_lists_and_test_lists_are_not_confused() -> None:
    labels = LabelSpace(("a", "b"))
    for name, for_training in (("hmdb51-split1", False), ("hmdb51-16-shot", True)):
        digest = SIZES[name].digest
        assert digest is not None
        found = identify(digest, labels, for_training=for_training)
        assert found is not None
        assert (found.name, found.is_for_training) == (name, for_training)
        assert identify(digest, labels, for_training=not for_training) is None
    # classes alone say nothing about a training set
    assert identify("0" * 16, LabelSpace.load("kinetics400"), for_training=True) is None


def test_classes_are_the_same_in_any_order_and_spelling() -> None:
    labels = LabelSpace.load("ucf101")
    for same in (labels.as_published(), labels.select(labels.names[::-1])):
        assert same_classes(same, "ucf101")
    assert not same_classes(labels.select(labels.names[1:]), "ucf101")
    assert not same_classes(labels, "no such label space")
    ours = identify("0" * 16, LabelSpace.load("ucf101-novel"))
    assert ours is not None
    assert (ours.name, ours.is_split) == ("ucf101-novel", False)


def test_every_published_list_names_a_label_space_and_has_its_counts() -> None:
    for entry in published_lists():
        assert len(LabelSpace.load(entry.label_space)) > 1
        assert (entry.digest is None) or (entry.videos is not None and len(entry.digest) == 16)
        assert entry.name.startswith(entry.benchmark) or entry.benchmark == "kinetics600"
        assert not (entry.is_split and entry.is_for_training)
    digests = [entry.digest for entry in published_lists() if entry.digest]
    assert len(set(digests)) == len(digests) == 18


def test_classes_identify_a_list_only_if_it_is_the_only_one_without_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*digests: str | None) -> str | None:
        lists = [
            PublishedList(f"{k}", "ucf101", "split 1", "ucf101", digest=digest) for k, digest in enumerate(digests)
        ]
        monkeypatch.setattr("ost_lightning.analysis.published_lists.published_lists", lambda: tuple(lists))
        entry = identify("0" * 16, LabelSpace.load("ucf101"))
        return entry.name if entry is not None else None

    assert found(None) == "0"
    assert found("1" * 16, None) == "1"
    assert found(None, None) is None
    assert found("1" * 16) is None
    assert found(None, "0" * 16) == "1"
