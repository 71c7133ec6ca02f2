"""Settings of a run as plain values, read off the objects that were used."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.models import Preprocessing, weights_digest
from ost_lightning.tasks import RecognitionTask

_ANY_NUMBER: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def model_settings(task: RecognitionTask) -> dict[str, Any]:
    """What the scores depend on in the model."""
    clip = task.video_clip
    return {
        "task": type(task).__name__,
        "backbone": clip.encoder.backbone_name,
        "pretrained": clip.pretrained,
        "tuned_from": clip.tuned_from,
        "temporal_head": type(clip.temporal_head).__name__ if clip.temporal_head is not None else None,
        "init_from": str(clip.init_from) if clip.init_from is not None else None,
        "weights": weights_digest(clip),
        "pixel_statistics": pixel_statistics(clip.preprocessing),
        "matcher": {"class": type(task.matcher).__name__, **constructor_settings(task.matcher)},
        "templates": {name: value for name, value in asdict(task.templates).items() if name != "origin"},
        "descriptors_per_class": task.descriptors_per_class,
    }


def clip_settings(data: VideoDataModule) -> dict[str, Any]:
    """What the scores depend on in the clips."""
    return asdict(data.clips)


def pixel_statistics(preprocessing: Preprocessing) -> Any:
    """Name of well-known pixel statistics; mean and standard deviation of others."""
    return preprocessing.statistics_name or {"mean": list(preprocessing.mean), "std": list(preprocessing.std)}


def constructor_settings(module: nn.Module) -> dict[str, Any]:
    """What the constructor was given, as plain values: a module keeps its arguments under their own names.

    What has been trained since, as a matcher's epsilon, is what it is now. An argument that is not kept is "unknown".
    """
    parameters = inspect.signature(type(module)).parameters
    names = [name for name, parameter in parameters.items() if parameter.kind not in _ANY_NUMBER]
    return {name: plain(getattr(module, name, "unknown")) for name in names}


def plain(value: object) -> Any:
    """A setting as JSON has it; of what is no plain value, the type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [plain(part) for part in value]
    return type(value).__name__
