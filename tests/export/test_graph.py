"""Tracing: what is the same in a graph, and what is left behind in the process."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.export.graph import ExportSource, RecognitionGraph, trace
from ost_lightning.export.parity import suite_probabilities
from ost_lightning.models import VideoCLIP
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
