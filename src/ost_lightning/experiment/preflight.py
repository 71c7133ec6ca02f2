"""Checks that take seconds, made before a model is loaded: output folder, lists, labels, descriptors, sizes."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from jsonargparse import ArgumentParser, Namespace

from ost_lightning.datamodules import VideoDataModule, check_batch_size, plan_batches
from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.pretrained.hub import weights_bytes
from ost_lightning.models.encoders.pretrained.preprocessing import expected_preprocessing
from ost_lightning.text import LabelSpace, Templates

_MEGABYTE: Final = 10**6
_LEAST_SPACE: Final = 20 * _MEGABYTE
"""Free space that any run needs for its tables and pictures, in bytes."""


def check_output(folder: Path, settings: Mapping[str, Any], *, training: bool) -> None:
    """Checks that a run can write into its folder, and that a checkpoint of its model fits.

    Args:
        folder: Folder of the run or one that will contain it; it need not exist.
        settings: Settings of the run, as parsed.
        training: Whether checkpoints are written.

    Raises:
        UserError: If the folder can't be created or written, or the disk has too little space.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"Runs can't be stored in {folder}, because {existing} is a file. Set --tracking.folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"Runs can't be stored in {folder}: there is no permission to write. Set --tracking.folder.")
    needed, what = _LEAST_SPACE, "a run"
    if training and settings["trainer"]["enable_checkpointing"] is not False:
        encoder = _init_args(_init_args(settings["model"]).get("video_clip") or {})
        frozen = encoder.get("freeze_vision") or encoder.get("freeze_text") or "lora" in encoder
        # AdamW keeps two moments per trained weight
        needed += (1 if frozen else 3) * weights_bytes(encoder.get("pretrained") or "")
        what = "a checkpoint of this model"
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{folder} has {free // _MEGABYTE:,} MB of free space, but {what} takes at least "
            f"{-(-needed // _MEGABYTE):,} MB. Free some space, or set --tracking.folder to another disk."
        )


def create_data(settings: Namespace) -> VideoDataModule:
    """Returns a new data module, without instantiating anything else of the run.

    Args:
        settings: Settings of the data, as parsed.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    alone: Any = Namespace(data=settings)  # type: ignore[no-untyped-call] # jsonargparse doesn't annotate it
    data: VideoDataModule = parser.instantiate(alone)["data"]
    return data


def check_data(data: VideoDataModule, settings: Mapping[str, Any], stage: str) -> None:
    """Checks everything about the data that needs no model; `setup` then reads nothing twice.

    A data module that has to prepare its videos first is checked by its settings only.

    Args:
        data: Data module of the run.
        settings: Settings of the run, as parsed.
        stage: `fit`, `validate`, `test` or `predict`.

    Raises:
        UserError: If a list, video, label, descriptor or size is missing or wrong.
    """
    data.clips.check_crop()
    if stage == "fit":
        _check_division(data, settings["trainer"])
    if data.needs_preparation:
        return
    sets = data.read_ahead(stage)
    if stage == "fit" and data.loading.global_batch_size is not None:
        check_batch_size(len(data.training_set.found), data.loading.global_batch_size)
    for labels in {id(videos.labels): videos.labels for videos in sets}.values():
        _check_descriptors(labels, _init_args(settings["model"]))


def check_model(data: VideoDataModule, settings: Mapping[str, Any]) -> None:
    """Checks what can be known about the model without its weights: the size of its images, and initial weights.

    Args:
        data: Data module of the run.
        settings: Settings of the run, as parsed.

    Raises:
        UserError: If the crop size is set, but the checkpoint reads another one; or there are no initial weights.
    """
    encoder = _init_args(_init_args(settings["model"]).get("video_clip") or {})
    pretrained, init_from = encoder.get("pretrained"), encoder.get("init_from")
    if init_from is not None and not Path(init_from).exists():
        raise UserError(
            f"There is no checkpoint {init_from} (video_clip.init_from): expected a file that training wrote, or a "
            "folder in HF format."
        )
    if data.clips.crop_size is not None and pretrained is not None:
        expected = expected_preprocessing(pretrained) or encoder_class(pretrained).load_preprocessing(pretrained)
        data.clips.with_defaults_from(expected).check_crop()


def start_reading(data: VideoDataModule, settings: Mapping[str, Any], stage: str) -> None:
    """Starts to read the first videos of a run in a single process, if that needs no model.

    Args:
        data: Data module of the run, which has read its lists.
        settings: Settings of the run, as parsed.
        stage: Command of the run.
    """
    trainer, encoder = settings["trainer"], _init_args(_init_args(settings["model"]).get("video_clip") or {})
    begins = stage in ("validate", "test", "predict") or (stage == "fit" and settings["ckpt_path"] is None)
    if not begins or data.needs_preparation or device_count(trainer) != 1 or trainer["strategy"] not in ("auto", "ddp"):
        return
    if isinstance(trainer["devices"], list) and trainer["devices"] != [0]:
        return  # memory for copies to a GPU would be locked by the first one
    if (expected := expected_preprocessing(encoder.get("pretrained") or "")) is not None:
        data.start_reading(stage, expected, on_gpu=_uses_gpu(trainer))


def _uses_gpu(trainer: Mapping[str, Any]) -> bool:
    return trainer["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.device_count() > 0


def device_count(trainer: Mapping[str, Any]) -> int | None:
    """Returns the number of processes that the trainer's settings ask for; None if only Lightning knows.

    Args:
        trainer: Settings of the trainer, as parsed.
    """
    devices, accelerator = trainer["devices"], trainer["accelerator"]
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    if isinstance(devices, list):
        count: int | None = len(devices)
    elif str(devices).isdecimal() and int(devices) > 0:
        count = int(devices)
    elif str(devices) in ("auto", "-1") and accelerator in ("auto", "cpu", "gpu", "cuda"):
        count = gpus or 1
    else:
        count = None
    return count and count * trainer["num_nodes"]


def _check_division(data: VideoDataModule, trainer: Mapping[str, Any]) -> None:
    devices = device_count(trainer)
    if devices is not None and data.loading.global_batch_size is not None:
        plan_batches(data.loading.global_batch_size, devices, data.loading.max_videos_per_device)


def _check_descriptors(labels: LabelSpace, model: Mapping[str, Any]) -> None:
    """Raises if a class has fewer descriptors than the matcher needs; other kinds of tasks check themselves."""
    if {"matcher", "templates", "descriptors_per_class"} <= model.keys():
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Matcher, "matcher")
        with torch.random.fork_rng(devices=[]):  # the model's own random numbers stay the same
            matcher: Matcher = parser.instantiate(parser.parse_object({"matcher": model["matcher"]}))["matcher"]
        Templates.load(model["templates"]).apply(labels, matcher.kinds, model["descriptors_per_class"])


def _init_args(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the constructor's arguments in settings with a `class_path`."""
    found: Mapping[str, Any] = settings.get("init_args") or {}
    return found
