"""A library of six rendered videos of three classes, and one file that is no video."""

from pathlib import Path

import pytest

from ost_lightning import Recognizer
from ost_lightning.library import Library, SegmentSettings
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes

CLASSES = 3


@pytest.fixture(scope="session")
def space() -> LabelSpace:
    labels = label_space(0, "unseen")
    return labels.select(labels.names[:CLASSES])


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for action in draw_classes(0)["unseen"][:CLASSES]:
        for number in range(2):
            write_mp4(folder / f"{action.name}_{number}.mp4", render_clip(action, seed=f"{action.name}{number}"))
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(scope="session")
def recognizer(space: LabelSpace) -> Recognizer:
    return Recognizer.load("tiny", space, device="cpu")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, videos: Path, recognizer: Recognizer) -> Library:
    found = Library.open(tmp_path_factory.mktemp("library") / "lib", create=True)
    found.index(sorted(videos.glob("*.mp4")), recognizer, SegmentSettings(precision="float32"))
    return found
