"""Explanations of rendered videos whose content is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, MaxSimilarity, OptimalDescriptorSolver, PooledDescriptors, TermWeights
from ost_lightning.models import MeanPooling, VideoCLIP
from ost_lightning.models.temporal_heads import TemporalHead
from ost_lightning.recognition import (
    TrainedModel,
    attention_maps,
    draw_comparison,
    draw_maps,
    draw_matches,
    load_trained_model,
)
from ost_lightning.recognition.explanations import MapMethod, sentence_matches
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes
from tests.matching.inputs import embeddings

ACTION = draw_classes(0)["unseen"][0]


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return load_trained_model("tiny")


@pytest.fixture(scope="module")
def recognizer(model: TrainedModel) -> Recognizer:
    return Recognizer(model, label_space(0, "unseen"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("videos") / "clip.mp4"
    write_mp4(file, render_clip(ACTION, seed="a"))
    return file


def test_the_two_likeliest_classes_are_explained(recognizer: Recognizer, video: Path) -> None:
    found = recognizer(video)
    first, second = recognizer.explain(video)
    assert (first.label, second.label) == found.classes[:2]
    assert (first.probability, second.probability) == pytest.approx(found.probabilities[:2])
    assert first.label == ACTION.name
    assert f"best seen at {first.best.second:.1f} s" in str(first)
    assert first.worst_step is not None
    assert first.worst_step.sentence in str(first)


def test_matches_are_those_of_the_score(recognizer: Recognizer, video: Path) -> None:
    """Transported terms of Eq. 13 are means over sentences of their weighted mean cosines."""
    (explained,) = recognizer.explain(video, [ACTION.name])
    transported = OptimalDescriptorSolver(terms=TermWeights(spatio_pooled=0, temporal_pooled=0))
    model = recognizer._video_clip
    with torch.inference_mode():
        frames = model.encode_frames(explained.frames[None])
        k = recognizer.labels.names.index(ACTION.name)
        score = transported(frames, *(recognizer._texts[kind][k : k + 1] for kind in transported.kinds))
    mean = sum(match.cosine for match in explained.matches) / len(explained.matches)
    assert mean == pytest.approx(float(score), abs=1e-5)
    for match in explained.matches:
        assert float(match.shares.sum()) == pytest.approx(1)


def test_the_name_is_explained_where_it_has_a_weight(model: TrainedModel, video: Path) -> None:
    solver = OptimalDescriptorSolver(terms=TermWeights(name=1.0))
    recognizer = Recognizer(replace(model, matcher=solver), label_space(0, "unseen"))
    (explained,) = recognizer.explain(video, [ACTION.name])
    (name,) = (match for match in explained.matches if match.kind == "name")
    assert name.sentence == f"a video of a person {ACTION.name}."
    assert name.shares.tolist() == pytest.approx([1 / len(name.shares)] * len(name.shares))


def test_steps_are_found_in_their_order(recognizer: Recognizer, video: Path) -> None:
    (explained,) = recognizer.explain(video, [ACTION.name])
    steps = [match for match in explained.matches if match.kind == "temporal"]
    assert steps[0].frame < steps[-1].frame
    assert steps[0].second is not None
    assert steps[-1].second is not None
    assert 0 <= steps[0].second < steps[-1].second < 4


def test_frames_that_speak_for_one_class_and_not_for_another(recognizer: Recognizer, video: Path) -> None:
    first, second = recognizer.explain(video)
    for one in (first, second):
        mean = sum(match.cosine for match in one.matches) / len(one.matches)
        assert float(one.frame_scores.sum()) == pytest.approx(mean, abs=1e-6)
    lead = first.frame_scores - second.frame_scores
    frames = first.frames_against(second)
    assert frames == sorted(frames)
    assert 1 <= len(frames) <= 3
    assert int(lead.argmax()) in frames
    assert all(lead[frame] > 0 for frame in frames)
    assert not set(first.frames_against(second, 8)) & set(second.frames_against(first, 8))
    assert first.frames_against(first) == []
    alone = Recognizer(load_trained_model("tiny"), LabelSpace((ACTION.name,))).explain(video)[0]
    short = replace(alone, matches=tuple(replace(m, shares=m.shares[:4], cosines=m.cosines[:4]) for m in alone.matches))
    with pytest.raises(UserError, match="have 4 and 8 frames"):
        short.frames_against(first)


def test_names_alone_are_explained_with_equal_shares(model: TrainedModel, video: Path) -> None:
    recognizer = Recognizer(model, LabelSpace((ACTION.name,)))
    (explained,) = recognizer.explain(video)
    assert explained.worst_step is None
    for match in explained.matches:
        torch.testing.assert_close(match.shares, torch.full((8,), 1 / 8))
        assert match.cosine == pytest.approx(float(match.cosines.mean()), abs=1e-6)


def test_pooled_descriptors_weigh_frames_equally_and_other_matchers_are_rejected() -> None:
    frames = embeddings(5, 16)
    kinds = ("name", "spatio", "temporal")
    texts = {kind: embeddings(4, 16, seed=n) for n, kind in enumerate(kinds, start=1)}
    sentences = {kind: ["a", "b", "c", "d"] for kind in kinds}
    found = sentence_matches(PooledDescriptors(), frames, texts, sentences, ())  # type: ignore[arg-type]
    assert len(found) == 12
    assert found[0].second is None
    assert "frame" in str(found[0])
    with pytest.raises(UserError, match="MaxSimilarity can't be explained"):
        sentence_matches(MaxSimilarity(), frames, texts, sentences, ())  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["relevance", "rollout", "class_attention"])
def test_maps_depend_on_the_sentence_only_if_they_should(
    recognizer: Recognizer, video: Path, method: MapMethod
) -> None:
    (explained,) = recognizer.explain(video, [ACTION.name])
    maps = recognizer.maps(explained, method)
    assert maps.shape == (8, 8, 6, 6)
    assert (maps >= 0).all()
    assert bool((maps[0] == maps[1]).all()) == (method != "relevance")
    only = recognizer.maps(explained, method, explained.matches[2:3])
    torch.testing.assert_close(only[0], maps[2])


def test_maps_leave_the_encoder_as_it_was(model: TrainedModel) -> None:
    clip = model.video_clip
    frames, texts = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8), embeddings(2, 128)
    before = clip.encode_frames(frames[None])
    last = clip.encoder.tower("vision").layers[-1]
    attention_maps(clip, frames, texts)
    assert clip.encoder.tower("vision").layers[-1] is last
    torch.testing.assert_close(clip.encode_frames(frames[None]), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_maps_that_would_be_incomplete_are_rejected() -> None:
    class Head(TemporalHead):
        pools = False

        def forward(self, frames: Tensor) -> Tensor:
            return frames

    clip = VideoCLIP("tiny", temporal_head=Head)
    frames, texts = torch.zeros(1, 3, 48, 48, dtype=torch.uint8), embeddings(1, 128)
    with pytest.raises(UserError, match="temporal head relates frames: Head"):
        attention_maps(clip, frames, texts)
    with pytest.raises(UserError, match="There is no map 'grad_cam'"):
        attention_maps(VideoCLIP("tiny"), frames, texts, "grad_cam")  # type: ignore[arg-type]


def test_pictures(recognizer: Recognizer, video: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (explained,) = recognizer.explain(video, [ACTION.name])
    draw_matches(explained, tmp_path / "matches.png")
    shown = explained.matches[:2]
    draw_maps(explained, shown, recognizer.maps(explained, "relevance", shown), tmp_path / "maps.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("matches.png", "maps.png"))


def test_a_clip_that_is_pooled_to_one_embedding_has_one_share(model: TrainedModel, video: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pooled = replace(model, video_clip=VideoCLIP("tiny", temporal_head=MeanPooling))
    recognizer = Recognizer(pooled, label_space(0, "unseen"))
    explained, other = recognizer.explain(video)
    assert explained.frames_against(other) == other.frames_against(explained) == []
    for match in explained.matches:
        assert match.shares.tolist() == pytest.approx([1])
        assert "best seen" not in str(match)
    draw_matches(explained, tmp_path / "matches.png")
    draw_maps(explained, explained.matches[:1], recognizer.maps(explained)[:1], tmp_path / "maps.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("matches.png", "maps.png"))


def test_two_models_are_drawn_side_by_side(
    recognizer: Recognizer, model: TrainedModel, video: Path, tmp_path: Path
) -> None:
    """The model that knows only class names has fewer rows, and both have the same scale."""
    pytest.importorskip("matplotlib")
    averaged = replace(model, video_clip=VideoCLIP("tiny", temporal_head=MeanPooling), matcher=CategoryName())
    recognizers = {"OST": recognizer, "ViFi-CLIP": Recognizer(averaged, label_space(0, "unseen"))}
    explained = {name: one.explain(video, [ACTION.name])[0] for name, one in recognizers.items()}
    maps = {name: one.maps(explained[name]) for name, one in recognizers.items()}
    sizes = []
    for shown in ({}, maps):
        draw_comparison(explained, shown, "clip.mp4", tmp_path / "both.png")
        with Image.open(tmp_path / "both.png") as file:
            pixels = np.asarray(file.convert("L"))
        sizes.append(pixels.shape)
        left, right = np.hsplit(pixels, 2)
        # rows of pixels where something is drawn, below the title
        last = [int(np.flatnonzero(half.min(1) < 128)[-1]) for half in (left, right)]
        assert last[0] > 0.9 * len(pixels)
        assert 0.1 * len(pixels) < last[1] < 0.4 * len(pixels)
    (low, width), (high, same) = sizes
    assert width == same == 2 * 1440
    assert high > low + 8 * 100  # a row of maps per sentence
