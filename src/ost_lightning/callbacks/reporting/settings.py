"""Settings of a run as plain values, read from the objects that were used."""

from dataclasses import asdict
from typing import Any

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.models import Preprocessing, constructor_settings, weights_digest
from ost_lightning.tasks import RecognitionTask


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
        "templates": {
            name: value
            for name, value in asdict(task.templates).items()
            if name != "origin" and (name != "short" or value)
        },
        "descriptors_per_class": task.descriptors_per_class,
        "scores": clip.scores,
        **({"vision_products": "fp8"} if clip.encoder.fp8 else {}),
        **({"cpu_precision": "bf16"} if _is_bf16_on_cpu(task) else {}),
        **({"parts": parts} if (parts := clip.part_settings()) else {}),
    }


def _is_bf16_on_cpu(task: RecognitionTask) -> bool:
    """Whether a CPU embeds frames in bf16, by either of the settings for that."""
    lower = task.video_clip.encoder.cpu_precision == "bf16" or task.trainer.precision.startswith("bf16")
    return task.device.type == "cpu" and lower


def clip_settings(data: VideoDataModule) -> dict[str, Any]:
    """Returns the clip settings that affect the scores."""
    return asdict(data.clips)


def pixel_statistics(preprocessing: Preprocessing) -> Any:
    """Returns the name of well-known pixel statistics, or mean and standard deviation otherwise."""
    return preprocessing.statistics_name or {"mean": list(preprocessing.mean), "std": list(preprocessing.std)}
