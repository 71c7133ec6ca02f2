from collections.abc import Sequence
from dataclasses import replace

import pytest

from ost_lightning.analysis.results import published_lists as module
from ost_lightning.analysis.results.published_lists import (
    PublishedList,
    identify,
    labels_digest,
    published_lists,
    same_classes,
)
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED, VideoRecord
from ost_lightning.video.annotations.video_ids import list_digest, video_id
from tests.analysis.example_runs import SIZES


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divides the numbers of videos of all lists by a hundred."""
    small = [
        replace(entry, videos=entry.videos and entry.videos // 100, about=entry.about and entry.about / 100)
        for entry in published_lists()
        if entry.digest is None
    ]
    with_lists(monkeypatch, *small)


def videos(count: int, labels: LabelSpace, path: str = "{youtube}_000000_000010.mp4") -> list[VideoRecord]:
    """Returns videos of all classes in turn."""
    ids = [path.format(youtube=f"video_{k:05d}", name=labels.published[k % len(labels)]) for k in range(count)]
    return [VideoRecord(id_, k % len(labels), id_) for k, id_ in enumerate(ids)]


def with_lists(monkeypatch: pytest.MonkeyPatch, *lists: PublishedList) -> None:
    monkeypatch.setattr(module, "published_lists", lambda: lists)


def as_list(
    name: str, records: Sequence[VideoRecord], labels: LabelSpace, part: str = "split 1", space: str = "hmdb51"
) -> PublishedList:
    """Returns a published list with exactly these videos and labels."""
    digest = list_digest(video_id(record.id) for record in records)
    return PublishedList(name, "hmdb51", part, space, len(records), digest, labels_digest(records, labels.published))


def test_a_list_is_recognized_by_its_videos_and_labels_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = LabelSpace.load("hmdb51")
    records = videos(102, labels)
    entry = as_list("hmdb51-split1", records, labels)
    with_lists(monkeypatch, entry)
    assert identify(records, labels).list == entry
    assert identify(records[::-1], labels).list == entry
    # another numbering or spelling of the same classes
    turned = labels.select(labels.names[::-1])
    renumbered = [replace(record, label=50 - record.label) for record in records]
    for same in (turned, turned.as_published(), LabelSpace(tuple(name.upper() for name in turned.names))):
        assert identify(renumbered, same).list == entry
    # other labels for the same videos: the numbers of another order, one changed label, one without a label
    wrong = [identify(records, turned), identify([replace(records[0], label=7), *records[1:]], labels)]
    wrong.append(identify([replace(records[0], label=UNLABELED), *records[1:]], labels))
    wrong.append(identify([replace(record, label=0) for record in records], LabelSpace(("a", "b"))))
    for found in wrong:
        assert found.list is None
        assert found.doubt == (
            "has the videos of hmdb51-split1, but other labels or class names, so it is not called hmdb51-split1."
        )
    # other videos
    assert identify(records[:-1], labels).list is identify([*records, records[0]], labels).list is None
    assert identify(records[:-1], labels).doubt == ""


def test_the_released_label_file_is_a_list_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, released = LabelSpace.load("hmdb51"), LabelSpace.load("hmdb51-released")
    records = videos(102, labels)
    usual = as_list("hmdb51-split1", records, labels)
    exchanged = as_list("hmdb51-released-split1", records, released, space="hmdb51-released")
    assert usual.digest == exchanged.digest
    assert usual.labels != exchanged.labels
    with_lists(monkeypatch, usual, exchanged)
    assert identify(records, labels).list == usual
    assert identify(records, released).list == exchanged


def test_training_lists_and_test_lists_are_not_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = LabelSpace.load("hmdb51")
    test, train = videos(51, labels), videos(102, labels)
    lists = as_list("hmdb51-split1", test, labels), as_list("hmdb51-2-shot", train, labels, "2 shots")
    with_lists(monkeypatch, *lists)
    for records, entry in ((test, lists[0]), (train, lists[1])):
        assert identify(records, labels, for_training=entry.is_for_training).list == entry
        assert identify(records, labels, for_training=not entry.is_for_training).list is None
    # classes alone say nothing about a training set
    kinetics = LabelSpace.load("kinetics400")
    assert identify(videos(199, kinetics), kinetics, for_training=True).list is None


def test_classes_are_the_same_in_any_order_and_spelling() -> None:
    labels = LabelSpace.load("ucf101")
    for same in (labels.as_published(), labels.select(labels.names[::-1])):
        assert same_classes(same, "ucf101")
    assert not same_classes(labels.select(labels.names[1:]), "ucf101")
    assert not same_classes(LabelSpace((*labels.names, "another")), "ucf101")
    assert not same_classes(labels, "no such label space")
    assert same_classes(LabelSpace.load("hmdb51"), "hmdb51-released")


@pytest.mark.parametrize(
    ("space", "count", "name"),
    [
        ("kinetics400", 199, "kinetics400-validation"),
        ("kinetics400", 180, "kinetics400-validation"),  # some of the videos have disappeared
        ("kinetics400", 202, "kinetics400-validation"),
        ("kinetics400", 179, None),
        ("kinetics400", 100, None),
        ("kinetics400", 1, None),
        ("kinetics400", 203, None),
        ("kinetics400-base", 99, "kinetics400-base"),
        ("kinetics400-novel", 50, None),
        ("ssv2", 247, "ssv2-validation"),
        ("ssv2", 246, None),
        ("ssv2-base", 175, "ssv2-base"),
        ("ssv2-novel", 175, None),
        ("activitynet", 49, "activitynet-validation"),
        ("activitynet", 76, None),  # as many as its segments
        ("k600-split1", 140, "k600-split1"),
        ("k600-split1", 79, "k600-split1-validation"),
        ("k600-split2", 6, None),
    ],
)
@pytest.mark.usefixtures("small_lists")
def test_lists_without_a_digest_need_classes_and_number(space: str, count: int, name: str | None) -> None:
    labels = LabelSpace.load(space)
    found = identify(videos(count, labels), labels)
    assert (found.list.name if found.list else None) == name
    if name is None:
        assert found.doubt.startswith(f"has the classes of {space}")
        assert f", but {count:,} videos instead of " in found.doubt
    else:
        assert found.doubt == ""


def test_the_halves_of_a_split_are_known_by_their_videos_only() -> None:
    labels = LabelSpace.load("hmdb51-base")
    found = identify(videos(780, labels), labels)
    assert (found.list, found.doubt) == (None, "")


CLASS_FOLDER = "of its videos lie in the folder of another class than their label's"
TRAINING = "199 of its videos lie in a folder of training videos"


@pytest.mark.parametrize(
    ("path", "doubt"),
    [
        ("val/{name}/{youtube}_000000_000010.mp4", ""),
        ("train/k400/validation/{youtube}_000000_000010.mp4", ""),
        ("{youtube}_000000_000010.mp4", ""),
        ("training dog/{youtube}_000000_000010.mp4", CLASS_FOLDER),
        ("train/{name}/{youtube}_000000_000010.mp4", TRAINING),
        ("train_256/{youtube}_000000_000010.mp4", TRAINING),
        ("k400\\Training\\{youtube}_000000_000010.mp4", TRAINING),
    ],
)
@pytest.mark.usefixtures("small_lists")
def test_folders_may_contradict_part_or_labels(path: str, doubt: str) -> None:
    labels = LabelSpace.load("kinetics400")
    found = identify(videos(199, labels, path), labels)
    assert (found.list is None) == bool(doubt)
    assert doubt in found.doubt


@pytest.mark.usefixtures("small_lists")
def test_repeating_a_few_videos_makes_no_validation_list() -> None:
    labels = LabelSpace.load("kinetics400")
    records = videos(8, labels) * 25
    assert identify(records, labels).list is None
    assert "192 of its videos are listed again" in identify(records, labels).doubt
    assert identify([*videos(198, labels), videos(1, labels)[0]], labels).list is not None


@pytest.mark.usefixtures("small_lists")
def test_the_released_lists_of_kinetics600_draw_on_all_parts() -> None:
    labels = LabelSpace.load("k600-split1")
    path = "train/{youtube}_000000_000010.mp4"
    assert identify(videos(140, labels, path), labels).list is not None
    assert identify(videos(79, labels, path), labels).list is None


@pytest.mark.usefixtures("small_lists")
def test_labels_that_contradict_the_folders_of_the_classes() -> None:
    labels = LabelSpace.load("kinetics400")
    records = videos(199, labels, "{name}/{youtube}_000000_000010.mp4")
    shifted = [replace(record, label=(record.label + 1) % 400) for record in records]
    found = identify(shifted, labels)
    assert found.list is None
    assert f"199 {CLASS_FOLDER} (abseiling/" in found.doubt


def test_every_published_list_names_a_label_space_and_has_its_counts() -> None:
    for entry in published_lists():
        assert len(LabelSpace.load(entry.label_space)) > 1
        assert (entry.digest is None) == (entry.labels is None)
        assert (entry.digest is None) or (entry.videos is not None and len(entry.digest) == 16)
        assert (entry.videos is None) != (entry.about is None)
        assert entry.name.startswith(entry.benchmark) or entry.benchmark == "kinetics600"
        assert not (entry.is_split and entry.is_for_training)
    content = [(entry.digest, entry.labels) for entry in published_lists() if entry.digest]
    assert len(set(content)) == len(content) == 25
    released = [entry.digest for entry in published_lists() if entry.label_space == "hmdb51-released"]
    assert released == [SIZES[f"hmdb51-split{split}"].digest for split in (1, 2, 3)]
    halves = [[SIZES[f"{name}-{half}"].videos for half in ("base", "novel")] for name in ("hmdb51", "ucf101")]
    assert halves == [[780, 750], [2088, 1695]]
    assert [sum(filter(None, counts)) for counts in halves] == [
        SIZES[f"{name}-split1"].videos for name in ("hmdb51", "ucf101")
    ]


def test_classes_identify_a_list_only_if_it_is_the_only_one_without_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = LabelSpace.load("ucf101")

    def found(*digests: str | None) -> str | None:
        lists = [
            PublishedList(f"{k}", "ucf101", "split 1", "ucf101", 101 if digest else None, digest, digest, 101)
            for k, digest in enumerate(digests)
        ]
        with_lists(monkeypatch, *lists)
        entry = identify(videos(101, labels), labels).list
        return entry.name if entry is not None else None

    assert found(None) == "0"
    assert found("1" * 16, None) == "1"
    assert found(None, None) is None
    assert found("1" * 16) is None
