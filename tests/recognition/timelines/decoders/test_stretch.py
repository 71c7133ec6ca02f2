from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import Segment, StretchDecoder, StretchScores
from ost_lightning.recognition.timelines.decoders import stretch
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
    segments = StretchDecoder(level, contrast=0, cost=cost).decode(scores).segments
    assert all(before.end <= after.start for before, after in pairwise(segments))
    gained = sum((segment.score - level) * segment.seconds - cost for segment in segments)
    assert gained == pytest.approx(best_total(scores, level, cost), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_overlap", [0.0, 0.4])
def test_what_overlaps_a_better_stretch_of_its_class_is_left_out_and_nothing_else(
    seed: int, max_overlap: float
) -> None:
    scores = random_scores(seed, steps=12)
    found = StretchDecoder(0.5, contrast=0, max_overlap=max_overlap).decode(scores).detections
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
    found = StretchDecoder(quantile=0.5, contrast=0).decode(scores_of([(k, k + 1) for k in range(4)], evidence))
    assert found.level == pytest.approx(0.25)
    assert [segment.label for segment in found.segments] == ["B", "A"]


def surroundings(scores: StretchScores, position: int) -> Tensor:
    """Mean evidence of the nearest shortest stretches before and after one, searched one by one."""
    spans = scores.spans.tolist()
    start, end = spans[position]
    shortest = min(b - a for a, b in spans)
    short = [m for m, (a, b) in enumerate(spans) if b - a == shortest]
    before = [m for m in short if spans[m][1] <= start][-1:]
    after = [m for m in short if spans[m][0] >= end][:1]
    return scores.evidence[before + after].mean(0) if before + after else torch.zeros(len(scores.classes))


@pytest.mark.parametrize("seed", range(3))
def test_contrast_subtracts_a_share_of_what_lies_before_and_after(seed: int) -> None:
    scores = random_scores(seed, steps=9)
    around = torch.stack([surroundings(scores, m) for m in range(len(scores.spans))])
    less = scores_of(scores.spans.tolist(), scores.evidence - 0.3 * around, 9)
    expected, found = (StretchDecoder(0.4, contrast=c).decode(s) for c, s in ((0.0, less), (0.3, scores)))
    assert [(s.start, s.end, s.label) for s in found.detections] == [
        (s.start, s.end, s.label) for s in expected.detections
    ]
    assert found.segments == expected.segments
    best = StretchDecoder(contrast=0.3).best_evidence(scores)
    torch.testing.assert_close(best, less.evidence.amax(1))


def test_a_join_that_scores_nearly_as_high_is_preferred_to_its_halves() -> None:
    scores = scores_of([(0, 4), (0, 8), (4, 8)], torch.tensor([[0.8], [0.78], [0.8]]))
    assert [s.seconds for s in StretchDecoder(0.2, contrast=0).decode(scores).segments] == [1, 1]
    (joined,) = StretchDecoder(0.2).decode(scores).segments
    assert (joined.seconds, joined.score) == (2, pytest.approx(0.78))


def test_two_actions_of_a_class_that_touch_stay_two() -> None:
    scores = scores_of([(0, 4), (0, 8), (4, 8)], torch.tensor([[0.8], [0.5], [0.8]]))
    assert [(s.start, s.end) for s in StretchDecoder(0.2).decode(scores).segments] == [(0, 1), (1, 2)]


def test_surroundings_end_at_a_gap() -> None:
    rows = torch.tensor([0, 0, 0, 0, -1, 0, 0, 0, 0])
    spans = [(0, 2), (0, 4), (2, 4), (5, 7), (5, 9), (7, 9)]
    scores = scores_of(spans, torch.full((6, 1), 0.4), 9, rows=rows)
    best = StretchDecoder(contrast=0.25).best_evidence(scores)
    assert best.tolist() == pytest.approx([0.3, 0.4, 0.3, 0.3, 0.4, 0.3])


@pytest.mark.parametrize("spans", [[(0, 1)], [(0, 8), (0, 16), (0, 20), (4, 20), (12, 20)]])
@pytest.mark.parametrize("level", [0.25, None])
def test_a_short_video_of_one_class_keeps_its_segment(spans: list[tuple[int, int]], level: float | None) -> None:
    evidence = torch.tensor([[0.3, 0.1]]).expand(len(spans), 2)
    found = StretchDecoder(level).decode(scores_of(spans, evidence))
    assert {segment.label for segment in found.segments} == {"A"}
    assert sum(segment.seconds for segment in found.segments) == scores_of(spans, evidence).video.duration


def test_long_background_does_not_move_an_action() -> None:
    spans = [(start, start + length) for start in range(0, 400, 2) for length in (8, 16) if start + length <= 400]
    evidence = torch.full((len(spans), 3), 0.1)
    for m, (start, end) in enumerate(spans):
        evidence[m, 1] += 0.2 * max(0, min(end, 216) - max(start, 200)) / (end - start)  # action B for 16 steps
    (segment,) = StretchDecoder(0.2).decode(scores_of(spans, evidence)).segments
    assert (segment.start, segment.end, segment.label) == (50, 54, "B")


def test_settings_name_what_segments_depend_on() -> None:
    assert StretchDecoder(0.3, cost=0.1).settings() == {
        "decoder": "StretchDecoder",
        "decoder.level": 0.3,
        "decoder.contrast": 0.15,
        "decoder.cost": 0.1,
        "decoder.max_overlap": 0.0,
    }
    assert StretchDecoder().settings()["decoder.quantile"] == 0.8


@pytest.mark.parametrize(
    "setting",
    [{"level": float("nan")}, {"quantile": 1.0}, {"contrast": 1.0}, {"cost": -1.0}, {"max_overlap": 1.0}],
)
def test_settings_out_of_range_are_rejected(setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(UserError, match=f"StretchDecoder.{name} is"):
        StretchDecoder(**setting)


def test_only_stretches_that_may_overlap_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(steps: int) -> int:
        sizes: list[int] = []
        least = np.minimum
        with monkeypatch.context() as patch:
            patch.setattr(stretch.np, "minimum", lambda one, other: sizes.append(np.size(other)) or least(one, other))
            StretchDecoder(0.0, contrast=0).decode(random_scores(0, steps=steps, rate=2.0))
        return sum(sizes)

    assert 0 < compared(320) < 5 * compared(80)
