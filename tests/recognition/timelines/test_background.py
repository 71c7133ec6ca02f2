import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import StretchDecoder, StretchScores, ThresholdDecoder, measure_background
from tests.recognition.timelines.inputs import random_scores, scores_of


def scores_with(values: list[float]) -> StretchScores:
    """One step per value, which is that of the better of two classes."""
    best = torch.tensor(values)
    return scores_of([(k, k + 1) for k in range(len(values))], torch.stack([best, best - 1], 1))


def test_the_share_of_background_above_the_level_is_the_requested_one() -> None:
    videos, decoder = [random_scores(seed, steps=200) for seed in range(3)], StretchDecoder()
    found = measure_background(videos, decoder, 0.1)
    best = torch.cat([decoder.best_evidence(scores) for scores in videos])
    assert float((best > found.level).float().mean()) == pytest.approx(0.1, abs=0.002)
    assert found.held_out == pytest.approx(0.1, abs=0.02)
    assert (found.videos, found.seconds) == (3, 150)


def test_held_out_videos_tell_when_videos_differ() -> None:
    alike, unlike = scores_with([0.0, 0.1, 0.2, 0.3]), scores_with([0.5, 0.6, 0.7, 0.8])
    found = measure_background([alike, unlike], StretchDecoder(contrast=0), 0.25)
    assert found.held_out == pytest.approx(0.5)  # nothing of the one, all of the other
    assert str(found) == (
        f"Level {found.level:.3f}: 25 % of 2 background videos (2 s) is above it; 50.0 % in a video that is left out."
    )


def test_the_level_is_for_the_evidence_of_the_decoder() -> None:
    scores = random_scores(1, steps=40)
    of_steps = measure_background([scores], ThresholdDecoder(), 0.1)
    of_stretches = measure_background([scores], StretchDecoder(contrast=0), 0.1)
    assert measure_background([scores], StretchDecoder(), 0.1).level < of_stretches.level
    assert of_steps.held_out is None
    assert of_steps.level < of_stretches.level  # interpolated windows are smoother
    steps = ThresholdDecoder(of_steps.level, bridge=0, shortest=0).decode(scores).segments
    assert sum(segment.seconds for segment in steps) == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(UserError, match="expected a number between 0 and 1"):
        measure_background([random_scores(0)], StretchDecoder(), share)


def test_without_background_there_is_no_level() -> None:
    with pytest.raises(UserError, match="no background to measure the level with"):
        measure_background([], StretchDecoder())
