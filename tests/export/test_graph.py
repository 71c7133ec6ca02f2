"""What tracing leaves behind in the process."""

import gc
from collections.abc import Iterator

import pytest

from ost_lightning import Recognizer
from ost_lightning.export.graph import ExportSource, RecognitionGraph, trace
from ost_lightning.models import VideoCLIP


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
    clip, texts = recognizer._video_clip, recognizer._texts
    before = VideoCLIP.__subclasses__()
    trace(RecognitionGraph(ExportSource(clip, recognizer.matcher, texts, recognizer.labels, recognizer.clips, "")), 4)
    assert VideoCLIP.__subclasses__() == before
