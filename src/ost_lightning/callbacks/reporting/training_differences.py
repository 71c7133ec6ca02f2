"""Differences between the clips of a run and those that its weights were trained with."""

from collections.abc import Iterator
from math import isclose

from ost_lightning.callbacks.reporting.settings import pixel_statistics
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.models import Preprocessing
from ost_lightning.tasks import RecognitionTask


def clip_differences(task: RecognitionTask, data: VideoDataModule) -> list[str]:
    """Returns a sentence for each clip setting that differs from the training; empty if the training is unknown.

    Args:
        task: Task with the weights of this run.
        data: Data module of this run.
    """
    trained = task.video_clip.trained_with
    if trained is None:
        return []
    used = data.clips.geometry().in_preprocessing(task.video_clip.preprocessing)
    return [
        f"{name} is {now} in this run; the weights were trained with {before}."
        for name, now, before in _differing(used, trained)
    ]


def _differing(used: Preprocessing, trained: Preprocessing) -> Iterator[tuple[str, object, object]]:
    """Yields name, value and value in training of each setting that differs."""
    framing = {"squash": "squash", "shortest_side": "crop"}
    pairs = [
        ("data.clips.frames", used.frames, trained.frames),
        ("data.clips.framing", framing[used.resize], framing[trained.resize]),
        ("data.clips.short_side", used.default_short_side, trained.default_short_side),
        ("data.clips.resize", used.filter, trained.filter),
        ("data.clips.sample_aspect", used.sample_aspect, trained.sample_aspect),
    ]
    # None is unknown, as in checkpoints of earlier versions
    yield from (pair for pair in pairs if None not in pair and pair[1] != pair[2])
    numbers = zip((*used.mean, *used.std), (*trained.mean, *trained.std), strict=True)
    if not all(isclose(now, before, abs_tol=1e-6) for now, before in numbers):
        yield "model.video_clip.pixel_statistics", pixel_statistics(used), pixel_statistics(trained)
