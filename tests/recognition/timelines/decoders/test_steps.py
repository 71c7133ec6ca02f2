"""Decoders that label every step: threshold, Viterbi, transport."""

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import StepDecoder, ThresholdDecoder, TransportDecoder, ViterbiDecoder
from tests.recognition.timelines.inputs import random_scores, scores_of

DECODERS = [
    ThresholdDecoder(0.5, bridge=0, shortest=0),
    ViterbiDecoder(0.5, switch=0.0),
    TransportDecoder(0.5, smoothness=0, epsilon=1e-3),
]


def evidence_of(labels: list[int], high: float = 0.9, low: float = 0.1, classes: int = 2) -> Tensor:
    """Evidence that is high for the label of each step, and low for all where it is -1."""
    evidence = torch.full((len(labels), classes), low)
    for step, label in enumerate(labels):
        if label >= 0:
            evidence[step, label] = high
    return evidence


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("labels", [[-1, 0, 0, -1, 1, 1, 1], [0, 1, 0], [1], [-1, -1]])
def test_without_smoothing_every_step_has_its_own_best_class(decoder: StepDecoder, labels: list[int]) -> None:
    assert decoder.labels(evidence_of(labels), 0.5, 4.0).tolist() == labels


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("switch", [0.0, 0.1, 0.4])
def test_viterbi_finds_the_best_of_all_sequences(seed: int, switch: float) -> None:
    level, rate = 0.5, 2.0
    evidence = torch.rand(5, 2, generator=torch.Generator().manual_seed(seed))

    def total(labels: tuple[int, ...]) -> float:
        rewards = [float(evidence[t, label]) if label >= 0 else level for t, label in enumerate(labels)]
        return sum(rewards) / rate - switch * sum(a != b for a, b in pairwise(labels))

    best = max(total(labels) for labels in product((-1, 0, 1), repeat=5))
    found = ViterbiDecoder(level, switch=switch).labels(evidence, level, rate)
    assert total(tuple(found.tolist())) == pytest.approx(best, abs=1e-6)


def test_the_cost_of_a_change_does_not_depend_on_the_grid() -> None:
    evidence = torch.rand(12, 3, generator=torch.Generator().manual_seed(1))
    decoder = ViterbiDecoder(0.7, switch=0.15)
    once, twice = decoder.labels(evidence, 0.7, 4.0), decoder.labels(evidence.repeat_interleave(2, 0), 0.7, 8.0)
    assert torch.equal(once.repeat_interleave(2), twice)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, -1, 0, 0, -1, -1], [0, 0, 0, 0, 0, -1, -1]),  # a gap of half a second is closed
        ([0, 0, -1, 1, 1], [0, 0, -1, 1, 1]),  # not between different classes
        ([0, 0, -1, -1, 0, 0], [0, 0, -1, -1, 0, 0]),  # nor a longer one
        ([0, -1, -1, 1, 1], [-1, -1, -1, 1, 1]),  # a single step is too short
    ],
)
def test_threshold_closes_gaps_and_drops_what_is_short(labels: list[int], expected: list[int]) -> None:
    decoder = ThresholdDecoder(0.5, bridge=0.5, shortest=1.0)
    assert decoder.labels(evidence_of(labels), 0.5, 2.0).tolist() == expected


def test_transport_follows_the_neighbors_of_a_doubtful_step() -> None:
    evidence = evidence_of([0] * 6 + [-1] * 6)
    evidence[3] = torch.tensor([0.45, 0.55])
    decoder = TransportDecoder(0.5, radius=0.5, spread=0.4)
    assert decoder.labels(evidence, 0.5, 4.0).tolist() == [0] * 6 + [-1] * 6


@pytest.mark.parametrize("decoder", [ThresholdDecoder(), ViterbiDecoder(), TransportDecoder()])
def test_order_of_classes_and_time_do_not_matter(decoder: StepDecoder) -> None:
    scores = random_scores(5, steps=24)
    turned = scores_of(scores.spans.tolist(), scores.evidence.flip(1), 24)
    first, second = decoder.decode(scores), decoder.decode(turned)
    assert [(s.start, s.end) for s in first.segments] == [(s.start, s.end) for s in second.segments]
    renamed = dict(zip("CBA", "ABC", strict=True))
    assert [segment.label for segment in first.segments] == [renamed[segment.label] for segment in second.segments]
    backward = scores_of([(24 - end, 24 - start) for start, end in scores.spans.tolist()], scores.evidence, 24)
    mirrored = decoder.decode(backward).segments[::-1]
    assert [s.label for s in mirrored] == [s.label for s in first.segments]
    assert [6 - s.end for s in mirrored] == pytest.approx([s.start for s in first.segments])


def test_steps_are_interpolated_between_centers_of_windows_of_one_length() -> None:
    evidence = torch.tensor([[0.0], [1.0], [0.8], [0.4]])
    scores = scores_of([(0, 2), (0, 4), (2, 4), (4, 6)], evidence)
    # the middle length of (2, 4) is 4 steps; the nearest one to 0.4 s is 2, centers 0.5, 2.5 and 4.5
    found = ThresholdDecoder(0.5, window=0.4, bridge=0, shortest=0).decode(scores)
    assert [(s.start, s.end) for s in found.segments] == [(0.5, 1.0)]
    assert found.segments[0].score == pytest.approx((0.6 + 0.7) / 2)
    assert ThresholdDecoder(0.5, shortest=0).decode(scores).segments[0].end == 1.5


def test_gaps_belong_to_no_segment() -> None:
    rows = torch.tensor([0, 0, 0, -1, 0, 0, 0])
    evidence = torch.ones(2, 1)
    for decoder in (ThresholdDecoder(0.5, shortest=0, bridge=9), ViterbiDecoder(0.5, switch=9), TransportDecoder(0.5)):
        found = decoder.decode(scores_of([(0, 3), (4, 7)], evidence, 7, rows=rows))
        assert [(s.start, s.end) for s in found.segments] == [(0, 0.75), (1, 1.75)]
        assert found.detections == found.segments


@pytest.mark.parametrize("decoder", DECODERS)
def test_nothing_readable_gives_nothing(decoder: StepDecoder) -> None:
    found = decoder.decode(scores_of([], torch.empty(0, 2), 3, rows=torch.full((3,), -1)))
    assert found.segments == ()


@pytest.mark.parametrize(
    ("decoder", "setting"),
    [
        (ThresholdDecoder, {"bridge": -1.0}),
        (ThresholdDecoder, {"shortest": float("inf")}),
        (ThresholdDecoder, {"window": 0.0}),
        (ViterbiDecoder, {"switch": -0.1}),
        (TransportDecoder, {"smoothness": 1.0}),
        (TransportDecoder, {"radius": 0.0}),
        (TransportDecoder, {"spread": 0.0}),
        (TransportDecoder, {"level": float("nan")}),
    ],
)
def test_settings_out_of_range_are_rejected(decoder: type[StepDecoder], setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(UserError, match=f"{decoder.__name__}.{name} is"):
        decoder(**setting)
