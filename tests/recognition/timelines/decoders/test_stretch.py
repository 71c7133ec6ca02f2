from itertools import combinations, pairwise

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import Segment, StretchDecoder, StretchScores
from tests.recognition.timelines.inputs import random_scores, scores_of


def overlap(a: Segment, b: Segment) -> float:
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(0.0, shared) / (max(a.end, b.end) - min(a.start, b.start))


def best_total(scores: StretchScores, level: float, cost: float) -> float:
    """Largest gain over all sets of stretches without overlap."""
    best = (scores.evidence.amax(1).double() - level) * scores.seconds().diff(dim=1).flatten() - cost
    spans, total = scores.spans.tolist(), 0.0
    for size in range(1, 6):
        for chosen in combinations([m for m in range(len(spans)) if best[m] > 0], size):
            ordered = sorted(spans[m] for m in chosen)
            if all(a[1] <= b[0] for a, b in pairwise(ordered)):
                total = max(total, float(sum(best[m] for m in chosen)))
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("level", "cost"), [(0.3, 0.0), (0.7, 0.0), (0.5, 0.1)])
def test_segments_gain_as_much_as_the_best_of_all_sets(seed: int, level: float, cost: float) -> None:
    scores = random_scores(seed, steps=5, rate=2.0)
    segments = StretchDecoder(level, cost=cost).decode(scores).segments
    assert all(before.end <= after.start for before, after in pairwise(segments))
    gained = sum((segment.score - level) * segment.seconds - cost for segment in segments)
    assert gained == pytest.approx(best_total(scores, level, cost), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_overlap", [0.0, 0.4])
def test_what_overlaps_a_better_stretch_of_its_class_is_left_out_and_nothing_else(
    seed: int, max_overlap: float
) -> None:
    scores = random_scores(seed, steps=12)
    found = StretchDecoder(0.5, max_overlap=max_overlap).decode(scores).detections
    assert [segment.score for segment in found] == sorted((segment.score for segment in found), reverse=True)
    for a, b in combinations(found, 2):
        assert a.label != b.label or overlap(a, b) <= max_overlap
    best, labels = scores.evidence.max(1)
    for (start, end), score, label in zip(scores.seconds().tolist(), best.tolist(), labels.tolist(), strict=True):
        candidate = Segment(start, end, scores.classes[label], score)
        if score > 0.5 and candidate not in found:
            better = [other for other in found if other.label == candidate.label and other.score >= score]
            assert any(overlap(candidate, other) > max_overlap for other in better)


def test_order_of_classes_does_not_matter() -> None:
    scores = random_scores(3, steps=12)
    turned = scores_of(scores.spans.tolist(), scores.evidence.flip(1), 12)
    renamed = dict(zip("CBA", "ABC", strict=True))
    first, second = (StretchDecoder(0.5).decode(one) for one in (scores, turned))
    assert [segment.label for segment in first.segments] == [renamed[segment.label] for segment in second.segments]
    assert [segment.start for segment in first.detections] == [segment.start for segment in second.detections]


def test_a_later_video_has_later_segments() -> None:
    scores = random_scores(4, steps=12)
    later = scores_of([(start + 6, end + 6) for start, end in scores.spans.tolist()], scores.evidence, 18)
    first, second = (StretchDecoder(0.6).decode(one) for one in (scores, later))
    assert [segment.start + 1.5 for segment in first.segments] == [segment.start for segment in second.segments]
    assert [segment.score for segment in first.detections] == [segment.score for segment in second.detections]


def test_a_whole_stretch_is_preferred_to_its_parts_by_its_length() -> None:
    evidence = torch.tensor([[0.8, 0.1], [0.7, 0.1], [0.1, 0.9]])
    found = StretchDecoder(0.5).decode(scores_of([(0, 4), (0, 8), (9, 12)], evidence))
    assert [(segment.start, segment.end, segment.label) for segment in found.segments] == [(0, 2, "A"), (2.25, 3, "B")]
    assert [segment.label for segment in found.detections] == ["B", "A"]


@pytest.mark.parametrize("evidence", [torch.zeros(2, 3), torch.empty(0, 3)])
def test_nothing_above_the_level_gives_nothing(evidence: Tensor) -> None:
    spans = [(0, 2), (2, 4)][: len(evidence)]
    found = StretchDecoder(0.5).decode(scores_of(spans, evidence))
    assert (found.segments, found.detections, found.level) == ((), (), 0.5)


def test_without_a_level_it_is_a_quantile_of_the_best_classes() -> None:
    evidence = torch.tensor([[0.1, 0.0], [0.0, 0.3], [0.2, 0.2], [0.5, 0.4]])
    found = StretchDecoder(quantile=0.5).decode(scores_of([(k, k + 1) for k in range(4)], evidence))
    assert found.level == pytest.approx(0.25)
    assert [segment.label for segment in found.segments] == ["B", "A"]


def test_settings_name_what_segments_depend_on() -> None:
    assert StretchDecoder(0.3, cost=0.1).settings() == {
        "decoder": "StretchDecoder",
        "decoder.level": 0.3,
        "decoder.cost": 0.1,
        "decoder.max_overlap": 0.0,
    }
    assert StretchDecoder().settings()["decoder.quantile"] == 0.7


@pytest.mark.parametrize("setting", [{"level": float("nan")}, {"quantile": 1.0}, {"cost": -1.0}, {"max_overlap": 1.0}])
def test_settings_out_of_range_are_rejected(setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(UserError, match=f"StretchDecoder.{name} is"):
        StretchDecoder(**setting)
