"""Weights and a rendered video, loaded once for all tests of the app."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ost_lightning.app import AppSettings
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.session import Session
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.long_videos import LongVideoClasses

CLASSES = LongVideoClasses.of(0, "unseen")
MAX_UPLOAD = 10_000_000
Serving = Callable[[AppSettings], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serving() -> Serving:
    """The function that serves the app; importing Gradio takes seconds, which only tests of the page pay for."""
    pytest.importorskip("gradio", reason="needs the extra app")
    from ost_lightning.app.server import serving

    return serving


@pytest.fixture(scope="session")
def models() -> Models:
    return Models.load(["tiny"], "cpu")


@pytest.fixture(scope="session")
def space() -> LabelSpace:
    return CLASSES.labels


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of the first class."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_mp4(file, render_clip(CLASSES.listed[0], "a"))
    return file


@pytest.fixture
def session(models: Models) -> Session:
    return Session(models, MAX_UPLOAD)
