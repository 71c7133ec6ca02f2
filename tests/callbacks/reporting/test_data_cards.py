from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ost_lightning.analysis.results.run_results import SetResult
from ost_lightning.analysis.results.run_rows import run_rows
from ost_lightning.callbacks.reporting.data_cards import data_card, sentence_digests, vocabulary_digest
from ost_lightning.callbacks.reporting.training_record import TrainingRecord
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.video import VideoRecord
from tests.analysis.example_runs import outcome, run, trained

NAMES = ("to juggle", "to swim", "to run")
LABELS = LabelSpace(
    NAMES,
    {name: Descriptors((f"{name} s1", f"{name} s2"), (f"{name} t1", f"{name} t2")) for name in NAMES},
    published=("Juggle", "Swim", "Run"),
)


@pytest.fixture(scope="module")
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny")


def task(video_clip: VideoCLIP, matcher: Matcher | None = None, **settings: object) -> ContrastiveRecognition:
    return ContrastiveRecognition(
        video_clip, matcher or OptimalDescriptorSolver(), **{"descriptors_per_class": 2, **settings}
    )


def videos(labels: LabelSpace = LABELS) -> LabeledVideos:
    return LabeledVideos([VideoRecord(f"{k}.mp4", k, f"{k}.mp4") for k in range(len(labels))], labels)


def rotated(labels: LabelSpace) -> LabelSpace:
    """Returns the label space with each class's descriptors given to the next class."""
    names = labels.names
    return replace(labels, descriptors=dict(zip(names[1:] + names[:1], labels.descriptors.values(), strict=True)))


def with_one_changed(labels: LabelSpace, kind: str) -> LabelSpace:
    first = labels.descriptors["to swim"]
    changed = replace(first, **{kind: ("another", *getattr(first, kind)[1:])})
    return replace(labels, descriptors={**labels.descriptors, "to swim": changed})


@pytest.mark.parametrize(
    ("change", "changed_kinds"),
    [
        (lambda labels: labels, set()),
        (lambda labels: labels.select(labels.names[::-1]), set()),  # the order of the classes matters to no score
        (rotated, {"spatio", "temporal"}),
        (lambda labels: with_one_changed(labels, "spatio"), {"spatio"}),
        (lambda labels: with_one_changed(labels, "temporal"), {"temporal"}),
        (lambda labels: labels.select(labels.names[:2]), {"spatio", "temporal"}),
    ],
)
def test_a_digest_names_the_kind_of_sentences_that_changed(
    video_clip: VideoCLIP, change: Callable[[LabelSpace], LabelSpace], changed_kinds: set[str]
) -> None:
    solver = task(video_clip)
    before, after = sentence_digests(solver, LABELS), sentence_digests(solver, change(LABELS))
    assert before.keys() == after.keys() == {"spatio", "temporal"}
    assert {kind for kind in before if before[kind] != after[kind]} == changed_kinds
    assert all(len(digest) == 16 for digest in after.values())


def test_class_names_and_templates_count_where_they_are_encoded(video_clip: VideoCLIP) -> None:
    names = task(video_clip, CategoryName())
    assert sentence_digests(names, LABELS) == sentence_digests(names, rotated(LABELS))  # it reads no descriptors
    others = [
        sentence_digests(names, LABELS.as_published()),
        sentence_digests(task(video_clip, CategoryName(), templates="raw_name"), LABELS),
        sentence_digests(names, LABELS),
    ]
    assert [list(other) for other in others] == [["name"]] * 3
    assert len({other["name"] for other in others}) == 3


def test_parts_of_a_label_space_share_its_vocabulary() -> None:
    half, other_half = LABELS.select(NAMES[:1]), LABELS.select(NAMES[1:]).as_published()
    assert vocabulary_digest(half, described=True) == vocabulary_digest(other_half, described=True)
    elsewhere = rotated(LABELS).select(NAMES[1:])
    assert vocabulary_digest(elsewhere, described=True) != vocabulary_digest(half, described=True)
    assert vocabulary_digest(elsewhere, described=False) == vocabulary_digest(half, described=False)
    texts = {name: replace(entry, rephrased=("in other words",)) for name, entry in half.descriptors.items()}
    rephrased = replace(half, descriptors=texts)
    assert vocabulary_digest(rephrased, described=True) != vocabulary_digest(half, described=True)
    alone = replace(LABELS.select(NAMES[1:]), selected_from=None)
    assert vocabulary_digest(alone, described=False) != vocabulary_digest(half, described=False)
    changed = replace(half, descriptors={NAMES[0]: LABELS.descriptors[NAMES[1]]})
    assert vocabulary_digest(changed, described=True) != vocabulary_digest(half, described=True)
    # shipped selections refer to the label space in which their classes are complete
    base, novel = LabelSpace.load("hmdb51-base"), LabelSpace.load("hmdb51-novel-raw")
    assert vocabulary_digest(base, described=True) == vocabulary_digest(novel, described=True)
    assert base.selected_from is not None
    assert len(base.selected_from) == 51


def test_a_card_holds_all_conditions_of_a_set(video_clip: VideoCLIP) -> None:
    card = data_card(videos(), task(video_clip), None, 1)
    assert (card.label_space, card.classes, card.name_form) == ("given in code", 3, "words")
    assert (card.listed, card.found, card.in_training, card.list) == (3, 3, 1, None)
    assert card.sentences == sentence_digests(task(video_clip), LABELS)
    raw = data_card(videos(LABELS.as_published()), task(video_clip), None, None)
    assert (raw.name_form, raw.digest, raw.labels) == ("as published", card.digest, card.labels)
    relabeled = [replace(record, label=(record.label + 1) % 3) for record in videos().records]
    other = data_card(replace(videos(), records=relabeled), task(video_clip), None, None)
    assert (other.digest, other.labels != card.labels) == (card.digest, True)


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_descriptor_sets_are_two_rows(video_clip: VideoCLIP, seeds: int) -> None:
    """Neither replaces the other, and they are not averaged as if they were two seeds."""
    runs = []
    for seed in range(2 * seeds):
        labels = (LABELS, rotated(LABELS))[seed % 2]
        result = SetResult(data_card(videos(labels), task(video_clip), None, 0), outcome("hmdb51-split1").scores)
        one = run(None, None, seed, own=result)
        runs.append(replace(one, model={**one.model, "weights": f"w{seed // 2}"}))
    rows = run_rows(runs)
    assert [row.over for row in rows] == ["" if seeds == 1 else "2 runs"] * 2
    assert rows[0].method != rows[1].method
    for row, labels in zip(rows, (LABELS, rotated(LABELS)), strict=True):
        digests = sentence_digests(task(video_clip), labels)
        assert f"spatio_descriptors={digests['spatio'][:8]}, temporal_desc" in row.method
        assert "unknown" not in row.method


def test_the_training_record_holds_the_sentences() -> None:
    def record(sentences: dict[str, str] | None, count: int = 3) -> TrainingRecord:
        listed = replace(videos(), records=videos().records[:count])
        return TrainingRecord.of(listed, {}, seed=0, steps=1, before=None, name_form="words", sentences=sentences)

    one = record({"spatio": "a"})
    assert one.card()["sentences"] == {"spatio": "a"}
    assert one.card()["name_form"] == "words"
    assert TrainingRecord.load({"ost_training": one.content()}) is not None
    # a training that is resumed with other descriptors has seen both
    assert one.after(record({"spatio": "a"})).before is None
    resumed = one.after(record({"spatio": "b"}))
    assert resumed.before is not None
    assert (resumed.before["sentences"], resumed.sentences) == ({"spatio": "b"}, {"spatio": "a"})
    # of a checkpoint of an earlier version they stay unknown
    earlier = {name: value for name, value in one.content().items() if name not in ("name_form", "sentences")}
    loaded = TrainingRecord.load({"ost_training": earlier})
    assert loaded is not None
    assert (loaded.sentences, one.after(loaded).sentences, one.after(loaded).before) == (None, None, None)
    assert torch.equal(loaded.ids, one.ids)


def test_trainings_on_other_descriptors_are_not_averaged() -> None:
    def tested(seed: int, sentences: dict[str, str] | None) -> object:
        training = trained("hmdb51") | ({"sentences": sentences} if sentences else {})
        one = run("few_shot", training, seed, h=outcome("hmdb51-split1", 0.5 + seed / 100))
        return replace(one, model={**one.model, "weights": f"w{seed}"})

    runs = [tested(1, {"spatio": "a" * 16}), tested(2, {"spatio": "a" * 16}), tested(3, {"spatio": "b" * 16})]
    rows = run_rows([*runs, tested(4, None)])
    assert [row.over for row in rows] == ["2 runs", "", ""]
    told = [row.method.rpartition("(")[2] for row in rows]
    assert told == ["trained_with=aaaaaaaa)", "trained_with=bbbbbbbb)", "trained_with=unknown)"]
