"""Scores of stored segments: the matcher's own numbers, whatever the shortcut."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.library.asking.query_scorer import similar_scorer
from ost_lightning.library.asking.scoring import SegmentScorer, best
from ost_lightning.matching import (
    BALANCED,
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    OrderContrast,
    PooledDescriptors,
    SoftDTW,
    SoftmaxMatching,
    TermWeights,
)

MATCHERS = [
    CategoryName(),
    PooledDescriptors(),
    MaxSimilarity("descriptors_to_frames"),
    SoftmaxMatching(),
    SoftDTW(),
    OptimalDescriptorSolver(),
    OptimalDescriptorSolver(temporal=replace(BALANCED, order_sigma=0.2), terms=TermWeights(0, 1, 2, 3)),
    OptimalDescriptorSolver(terms=TermWeights(name=1.5, order=2)),
    OrderContrast(OptimalDescriptorSolver()),
]


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("classes", [1, 12], ids=["projected", "complete"])
@pytest.mark.parametrize("matcher", MATCHERS, ids=lambda matcher: type(matcher).__name__)
def test_similarities_are_those_of_the_matcher(matcher: Matcher, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ost_lightning.library.asking.scoring._COSINES_AT_ONCE", 2000)  # several parts
    frames = unit(40, 6, 64)
    texts = {kind: unit(classes, 3, 64) for kind in matcher.kinds}
    expected = matcher(frames, *texts.values())
    found = SegmentScorer(None, matcher, texts).similarities(frames)
    torch.testing.assert_close(found, expected, atol=5e-6, rtol=0)
    half = SegmentScorer(None, matcher, texts).similarities(frames.half())
    torch.testing.assert_close(half, expected, atol=3e-3, rtol=0)


@pytest.mark.parametrize("together", [1, 7, 100])
@pytest.mark.parametrize("classes", [1, 12], ids=["projected", "complete"])
def test_how_segments_are_read_does_not_matter(classes: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ost_lightning.library.asking.scoring._MATCHED_TOGETHER", together)
    frames = unit(40, 6, 64)
    texts = {kind: unit(classes, 3, 64) for kind in ("spatio", "temporal")}
    scorer = SegmentScorer(None, OptimalDescriptorSolver(), texts)
    found = torch.cat(list(scorer.in_turn(iter(frames.split(3)))))
    torch.testing.assert_close(found, scorer.similarities(frames), atol=5e-6, rtol=0)


def test_few_segments_at_a_time_are_matched_together() -> None:
    texts = {kind: unit(1, 3, 64) for kind in ("spatio", "temporal")}
    found = list(SegmentScorer(None, OptimalDescriptorSolver(), texts).in_turn(unit(10000, 1, 64).split(1000)))
    assert [len(part) for part in found] == [9000, 1000]


def test_equal_sentences_leave_the_scores_as_they_are() -> None:
    frames, sentence = unit(5, 4, 32), unit(1, 1, 32)
    texts = {"spatio": sentence.expand(1, 3, 32), "temporal": sentence.expand(1, 3, 32)}
    scorer = SegmentScorer(None, OptimalDescriptorSolver(), texts)
    torch.testing.assert_close(scorer.similarities(frames)[:, 0], (frames @ sentence[0, 0]).mean(1))


@pytest.mark.parametrize("matcher", MATCHERS[5:], ids=lambda matcher: type(matcher).__name__)
def test_coarse_scores_are_exact_for_still_videos(matcher: Matcher) -> None:
    still = unit(20, 1, 64).expand(20, 6, 64)
    scorer = SegmentScorer(None, matcher, {kind: unit(2, 3, 64) for kind in matcher.kinds})
    torch.testing.assert_close(still.mean(1) @ scorer.coarse_vectors().T, scorer.similarities(still), atol=1e-4, rtol=0)


def test_a_video_is_most_similar_to_itself() -> None:
    frames = unit(50, 8, 64)
    scores = similar_scorer(frames[7]).similarities(frames)[:, 0]
    assert best(scores, 1) == [7]
    assert float(scores[7]) == pytest.approx(1, abs=0.01)
    backwards = torch.stack([frames[7], frames[7].flip(0)])
    plain = similar_scorer(frames[7]).similarities(backwards)[:, 0]
    assert float(plain[0]) == pytest.approx(float(plain[1]), abs=1e-3)
    ordered = similar_scorer(frames[7], order_sigma=0.05).similarities(backwards)[:, 0]
    assert float(ordered[0]) > float(ordered[1]) + 0.3


def test_equal_scores_keep_their_order() -> None:
    assert best(torch.tensor([0.0, 1.0, 1.0, 2.0, 1.0]), 4) == [3, 1, 2, 4]
