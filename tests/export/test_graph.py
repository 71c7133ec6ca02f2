"""Tracing: what is the same in a graph, and what is left behind in the process."""

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.export.graph import ExportSource, RecognitionGraph, trace
from ost_lightning.export.parity import suite_probabilities
from ost_lightning.models import VideoCLIP
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from tests.export.recognizers import ADDITIONS, FRAMES, by_class, plain
from tests.models.encoders.families import FAMILIES


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Garbage is collected only where the code asks for it."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_the_tracers_proxies_are_gone() -> None:
    """They are subclasses under the same names, so a class given by its name alone would be ambiguous afterwards."""
    recognizer = Recognizer.load("tiny", labels=["jumping", "waving"], device="cpu")
    before = VideoCLIP.__subclasses__()
    trace(RecognitionGraph(source_of(recognizer)), 4)
    assert VideoCLIP.__subclasses__() == before


def source_of(recognizer: Recognizer) -> ExportSource:
    clip, texts = recognizer._video_clip, recognizer._texts
    return ExportSource(clip, recognizer.matcher, texts, recognizer.labels, recognizer.clips, "")


def test_a_graph_of_an_encoder_that_relates_frames_has_their_number(tmp_path: Path) -> None:
    """VideoPrism has position embeddings of four frames here, which are interpolated for three."""
    folder = FAMILIES["VideoPrism"].write(tmp_path, seed=5)
    source = source_of(Recognizer.load(folder, labels=["jumping", "waving", "running"], device="cpu"))
    graph = trace(RecognitionGraph(source), 3).module()
    frames = torch.randint(256, (5, 3, 3, 48, 48), dtype=torch.uint8)
    torch.testing.assert_close(graph(frames), suite_probabilities(source, frames), atol=1e-4, rtol=0)


@pytest.mark.parametrize("addition", ADDITIONS)
def test_what_is_added_to_clip_is_part_of_the_graph(addition: str, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    write_mp4(video, render_clip(draw_classes(0)["unseen"][2], seed="an unseen one"))
    recognizer = ADDITIONS[addition]()
    frames = recognizer.embed_clip(video).frames
    assert frames.shape[:2] == (2 if "views" in addition else 1, FRAMES)
    with torch.no_grad():
        found = trace(RecognitionGraph(source_of(recognizer)), FRAMES).module()(frames).mean(0)
    np.testing.assert_allclose(found, by_class(recognizer, video), atol=1e-4)
    assert np.abs(found - np.array(by_class(plain(), video))).max() > 1e-3
