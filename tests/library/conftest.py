"""A library with segments that are made of numbers, not of videos."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ost_lightning.evaluation import ClipSettings
from ost_lightning.library import IndexedSource, Library, NewSegment, SegmentSettings, SegmentTable, TableSettings
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition import load_trained_model

FRAMES = 8


@pytest.fixture(scope="session")
def video_clip() -> VideoCLIP:
    return load_trained_model("tiny").video_clip


@pytest.fixture
def settings(video_clip: VideoCLIP) -> TableSettings:
    clips = ClipSettings(frames=FRAMES).with_defaults_from(video_clip.preprocessing)
    return TableSettings.of(video_clip, clips, FRAMES, SegmentSettings(precision="float32"))


@pytest.fixture
def table(tmp_path: Path, settings: TableSettings) -> SegmentTable:
    return Library.open(tmp_path / "library", create=True).create_table(settings)


@pytest.fixture
def new_segments(settings: TableSettings) -> Callable[..., list[NewSegment]]:
    """Function that makes the segments of one video, the same for the same name and digest."""

    def make(name: str, count: int = 1, digest: str = "a", label: str | None = None) -> list[NewSegment]:
        source = IndexedSource(name.encode().hex().zfill(16), f"/videos/{name}.mp4", name, digest, label)
        generator = torch.Generator().manual_seed(sum(f"{name}{digest}".encode()))
        embedded = torch.randn(count, settings.frames, settings.width, generator=generator)
        times = tuple(0.25 * k for k in range(settings.frames))
        return [
            NewSegment(source, place, 2.0 * place, 2.0 * place + 4, 2.0 * count + 2, times, frames)
            for place, frames in enumerate(F.normalize(embedded, dim=-1))
        ]

    return make
