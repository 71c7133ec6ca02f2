"""Timelines of a long video of the rendered world."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.matching import CategoryName
from ost_lightning.recognition.timelines import (
    Segment,
    StretchDecoder,
    StretchSettings,
    ThresholdDecoder,
    Timeline,
    TimelineDecoder,
    TransportDecoder,
    ViterbiDecoder,
)
from ost_lightning.toyworld.clips import FRAME_RATE, FRAMES, render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import ActionClass, draw_classes

CLASSES = draw_classes(0)
ACTIONS = [CLASSES["unseen"][k] for k in (1, 4, 8, 11, 14, 17)]
SECONDS = FRAMES / FRAME_RATE


def write_long(file: Path, shots: list[ActionClass]) -> Path:
    write_mp4(file, np.concatenate([render_clip(action, f"long {k}") for k, action in enumerate(shots)]))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of six actions with other ones between them, and one of other actions only."""
    folder = tmp_path_factory.mktemp("long")
    others = CLASSES["order"][::3][:6]
    write_long(folder / "match.mp4", [shot for pair in zip(ACTIONS, others, strict=False) for shot in pair])
    write_long(folder / "background.mp4", [*others])
    return folder


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny", label_space(0, "unseen"), "cpu")


def overlap(segment: Segment, place: int) -> float:
    """Intersection over union with the action at a place, which another one follows."""
    start, end = 2 * place * SECONDS, (2 * place + 1) * SECONDS
    shared = min(segment.end, end) - max(segment.start, start)
    return shared / (max(segment.end, end) - min(segment.start, start))


def found_actions(timeline: Timeline) -> int:
    return sum(
        any(segment.label == action.name and overlap(segment, place) >= 0.5 for segment in timeline.segments)
        for place, action in enumerate(ACTIONS)
    )


@pytest.mark.parametrize(
    ("decoder", "least"), [(None, 4), (ThresholdDecoder(), 3), (ViterbiDecoder(), 3), (TransportDecoder(), 3)]
)
def test_most_actions_of_a_long_video_are_found(
    recognizer: Recognizer, folder: Path, decoder: TimelineDecoder | None, least: int
) -> None:
    timeline = recognizer.timeline(folder / "match.mp4", decoder)
    assert timeline.duration == 12 * SECONDS
    assert found_actions(timeline) >= least
    assert len(timeline.segments) <= 12


def test_with_a_measured_level_background_is_none_of_the_classes(recognizer: Recognizer, folder: Path) -> None:
    background = recognizer.measure_background([folder / "background.mp4"])
    decoder = StretchDecoder(background.level)
    quiet = recognizer.timeline(folder / "background.mp4", decoder)
    assert found_actions(recognizer.timeline(folder / "match.mp4", decoder)) >= 3
    without = recognizer.timeline(folder / "background.mp4")
    found = [sum(segment.seconds for segment in timeline.segments) for timeline in (quiet, without)]
    assert found[0] < 0.3 * quiet.duration < found[1]


def test_conditions_name_what_segments_depend_on(recognizer: Recognizer, folder: Path) -> None:
    video = recognizer.embed(folder / "match.mp4")
    base = recognizer.timeline(video, StretchDecoder(0.2)).conditions
    assert base == {
        **recognizer.conditions(),
        "scored_by": "transport and a quarter of the worst step",
        "rate": 4.0,
        "stretches.lengths": "2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6",
        "stretches.stride": 0.5,
        "stretches.looks": 8,
        "stretches.order_sigma": 0.3,
        "stretches.epsilon": 0.1,
        "decoder": "StretchDecoder",
        "decoder.level": 0.2,
        "decoder.contrast": 0.15,
        "decoder.cost": 0.0,
        "decoder.max_overlap": 0.0,
    }
    own = recognizer.timeline(video).conditions
    assert own["decoder.quantile"] == StretchDecoder().quantile
    assert isinstance(own["decoder.level"], float)
    settings = StretchSettings(lengths=(3.0,), order_sigma=None)
    other = recognizer.timeline(video, stretches=settings).conditions
    assert (other["stretches.lengths"], other["stretches.order_sigma"]) == ("3", "none")


def test_evidence_is_the_frame_of_the_segment_that_shows_a_sentence_best(recognizer: Recognizer, folder: Path) -> None:
    video = recognizer.embed(folder / "match.mp4")
    segment = recognizer.timeline(video).segments[0]
    assert len(segment.evidence) == 8
    cosines = [evidence.cosine for evidence in segment.evidence]
    assert cosines == sorted(cosines, reverse=True)
    k = recognizer.labels.names.index(segment.label)
    steps = [g for g in range(len(video.rows)) if segment.start <= g / 4 < segment.end]
    for evidence in segment.evidence:
        n = recognizer._sentences.sentences[evidence.kind][k].index(evidence.sentence)
        every = video.embeddings[video.rows[steps]] @ recognizer._texts[evidence.kind][k, n]
        assert evidence.cosine == pytest.approx(float(every.max()), abs=1e-6)
        assert evidence.second == steps[int(every.argmax())] / 4


def test_names_alone_are_scored_by_the_pooled_cosine(folder: Path) -> None:
    names = [action.name for action in ACTIONS]
    recognizer = Recognizer.load("tiny", names, "cpu")
    assert isinstance(recognizer.matcher, CategoryName)
    timeline = recognizer.timeline(folder / "match.mp4", StretchDecoder(0.0))
    assert timeline.conditions["scored_by"] == "pooled cosine with class names"
    assert {evidence.kind for segment in timeline.segments for evidence in segment.evidence} == {"name"}


def test_one_class_is_enough(folder: Path) -> None:
    timeline = Recognizer.load("tiny", [ACTIONS[0].name], "cpu").timeline(folder / "match.mp4")
    assert {segment.label for segment in timeline.segments} == {ACTIONS[0].name}


def test_classes_added_later_need_no_video(recognizer: Recognizer, folder: Path) -> None:
    video = recognizer.embed(folder / "match.mp4")
    more = Recognizer.load("tiny", label_space(0, "seen"), "cpu")
    assert torch.equal(
        more.stretch_scores(video).evidence, more.stretch_scores(more.embed(folder / "match.mp4")).evidence
    )
