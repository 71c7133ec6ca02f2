"""Settings of a run as plain values, read from the objects that were used."""

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
    """Returns the model settings that affect the scores."""
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
    """Returns the clip settings that affect the scores."""
    return asdict(data.clips)


def pixel_statistics(preprocessing: Preprocessing) -> Any:
    """Returns the name of well-known pixel statistics, or mean and standard deviation otherwise."""
    return preprocessing.statistics_name or {"mean": list(preprocessing.mean), "std": list(preprocessing.std)}


def constructor_settings(module: nn.Module) -> dict[str, Any]:
    """Returns a module's constructor arguments as plain values, read from the attributes of the same names.

    Learned values, such as a matcher's epsilon, are reported at their current value. Arguments without an attribute are
    reported as "unknown".
    """
    parameters = inspect.signature(type(module)).parameters
    names = [name for name, parameter in parameters.items() if parameter.kind not in _ANY_NUMBER]
    return {name: plain(getattr(module, name, "unknown")) for name in names}


def plain(value: object) -> Any:
    """Returns a setting as a JSON value; objects without a JSON form become the name of their type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return type(value).__name__
