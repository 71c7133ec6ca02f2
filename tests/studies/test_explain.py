import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.models import VideoCLIP
from studies.explain.__main__ import main
from studies.explain.pointing import FIXED, RAW, RELEVANCE, TARGETS, goals, pointing_game, sentence_maps, table
from studies.explain.stills import SIDE, Stills, draw_stills


@pytest.fixture(scope="module")
def stills() -> Stills:
    return draw_stills(16, 0)


@pytest.fixture(scope="module")
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny").eval()


def test_stills_depend_on_their_seed_only(stills: Stills) -> None:
    again, other = draw_stills(4, 0), draw_stills(4, 1)
    assert torch.equal(again.frames, stills.frames[:4])
    assert torch.equal(again.masks, stills.masks[:4])
    assert not torch.equal(again.frames, other.frames)
    filmed = draw_stills(4, 0, filmed=True)
    assert torch.equal(filmed.masks, again.masks)  # the camera sees the same scene
    assert not torch.equal(filmed.frames, again.frames)


def test_masks_are_the_prop_and_boxes_their_bounds(stills: Stills) -> None:
    shares = stills.masks.float().mean((1, 2))
    assert ((shares > 0.01) & (shares < 0.5)).all()
    for mask, box in zip(stills.masks, stills.boxes, strict=True):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        expected = torch.zeros_like(mask)
        expected[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        assert torch.equal(box, expected)


def test_each_still_gets_the_map_of_its_own_sentence(stills: Stills, video_clip: VideoCLIP) -> None:
    sentences = ["a drum", "a kite", "a drum"]
    together = sentence_maps(video_clip, stills.frames[:3], sentences)
    for k, sentence in enumerate(sentences):
        alone = sentence_maps(video_clip, stills.frames[k : k + 1], [sentence])
        torch.testing.assert_close(together[k], alone[0], rtol=1e-4, atol=1e-6)
    assert together.shape == (3, SIDE, SIDE)


def test_relevance_points_at_what_its_sentence_names(stills: Stills, video_clip: VideoCLIP) -> None:
    found = pointing_game(video_clip, stills)
    assert found["chance"]["box"] == pytest.approx(float(stills.boxes.float().mean()))
    assert found[FIXED]["box"] == pytest.approx(float(stills.boxes.float().mean(0).max()))
    assert found[RELEVANCE]["box"] > found[FIXED]["box"] > found["chance"]["box"]
    assert found[RELEVANCE]["box"] > found[RAW]["box"]
    assert found[RELEVANCE]["box"] > found["relevance of the outfit's sentence"]["box"]


def test_tables_and_goals() -> None:
    hits = [{name: dict.fromkeys(TARGETS, share) for name, share in named} for named in DRAWS]
    assert f"| {RELEVANCE} | 75.0 ± 7.1 |" in table(hits)
    assert "hits 3.0 times as often as raw attention" in goals(hits)
    assert "25 points more often than the best fixed point (goal: 20; least of 2 draws: 20)" in goals(hits)
    assert "| 80.0 |" in table(hits[:1])


DRAWS = [((RELEVANCE, 0.8), (RAW, 0.2), (FIXED, 0.5)), ((RELEVANCE, 0.7), (RAW, 0.3), (FIXED, 0.5))]


def test_the_command_prints_a_table_and_draws_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "pointing.png"
    options = ["--stills=3", "--draws=1", "--filmed", f"--picture={picture}"]
    monkeypatch.setattr(sys, "argv", ["explain", *options])
    main()
    assert f"| {RELEVANCE} |" in capsys.readouterr().out
    assert picture.stat().st_size > 10_000
