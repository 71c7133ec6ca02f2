"""Loads models from a hub id, a folder in HF format, a checkpoint, or the folder of a run or experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jsonargparse import ArgumentError, ArgumentParser

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.matching import Matcher, OptimalDescriptorSolver
from ost_lightning.models import Scores, VideoCLIP, check_weights_match
from ost_lightning.models.checkpoints.initial_weights import read_checkpoint, weights_of
from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT, last_checkpoint, parsed_config
from ost_lightning.models.encoders import is_open_clip
from ost_lightning.models.encoders.towers.fp8_linear import require_fp8
from ost_lightning.renamed_settings import with_new_names
from ost_lightning.text import Templates

_FRAMES: Final = 8
"""Frames per clip of models that were not trained here: the paper's smaller setting."""
_MODEL_SETTINGS: Final = ("video_clip", "matcher", "templates", "descriptors_per_class")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model, and the settings that recognition needs.

    Attributes:
        video_clip: Encoder with its weights.
        matcher: Mechanism that scores videos against classes.
        templates: Sentence templates.
        descriptors_per_class: Number of descriptors of each kind, N.
        clips: Settings that define how a video becomes a clip.
    """

    video_clip: VideoCLIP
    matcher: Matcher
    templates: Templates
    descriptors_per_class: int
    clips: ClipSettings


def load_trained_model(
    weights: str | Path, scores: Scores | None = None, fp8_on: Sequence[torch.device] = ()
) -> TrainedModel:
    """Loads weights, and the settings that they were trained with.

    Args:
        weights: Hub id, `tiny`, folder in HF format, checkpoint (`.ckpt`), or the folder of a run or experiment, whose
            newest `last.ckpt` is used. Weights that are not from a checkpoint get the paper's settings: the OD Solver,
            the templates `ost`, 4 descriptors of each kind, and 8 frames unless their folder says otherwise.
            A checkpoint names the classes of its model and matcher, which are imported: use only checkpoints of people
            you trust, or import theirs with `ost convert`.
        scores: Probabilities of classes; None for what a run was trained with, otherwise softmax.
        fp8_on: Devices on which the linear layers of the vision tower will compute in fp8; none for the usual
            precision.

    Raises:
        UserError: If the weights don't exist, their settings can't be read, scores can't be sigmoid, or a device can't
            compute in fp8.
    """
    for device in fp8_on:
        require_fp8(device)
    checkpoint = find_checkpoint(Path(weights))
    model = _from_weights(weights) if checkpoint is None else _from_checkpoint(checkpoint)
    if scores is not None:
        model.video_clip.use_scores(scores)
    if fp8_on:
        model.video_clip.encoder.use_fp8(fp8_on)
    return model


def load_tested_model(config: Path, checkpoint: Path | None) -> TrainedModel:
    """Loads a model as a run tested it.

    Args:
        config: The run's `config.yaml`, which names the classes of its model and matcher: they are imported.
        checkpoint: Checkpoint that was tested, or given as `init_from`; None if there was none.

    Raises:
        UserError: If a file is missing or damaged, or the weights don't fit.
    """
    try:
        text = config.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{config} can't be read ({error.strerror}).") from error
    if checkpoint is not None and not checkpoint.is_file():
        raise UserError(f"the tested checkpoint {checkpoint} is not there.")
    return _with_weights(text, config, checkpoint)


def _from_weights(weights: str | Path) -> TrainedModel:
    video_clip = VideoCLIP(str(weights))
    own = video_clip.preprocessing
    clips = ClipSettings(frames=own.frames or _FRAMES).with_defaults_from(own)
    return TrainedModel(video_clip, OptimalDescriptorSolver(), Templates.load("ost"), 4, clips)


def find_checkpoint(path: Path) -> Path | None:
    """Finds the checkpoint that a path refers to; None for the folder of a model, or if the path doesn't exist.

    Args:
        path: Checkpoint, or folder of a run or experiment.

    Raises:
        UserError: If the path is a folder without weights.
    """
    if path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file() or is_open_clip(str(path)):
        return None
    in_run = path / "checkpoints" / "last.ckpt"
    found = in_run if in_run.is_file() else last_checkpoint(path)
    if found is None:
        raise UserError(
            f"The folder {path} contains no weights: expected config.json of a model in HF format, "
            "checkpoints/last.ckpt of a run, or version_*/checkpoints/last.ckpt of an experiment."
        )
    return found


def _from_checkpoint(file: Path) -> TrainedModel:
    content = read_checkpoint(file)
    config = content.get(CONFIG_IN_CHECKPOINT)
    if config is None:
        raise UserError(
            f"{file} doesn't contain the settings of its model: expected a checkpoint that `ost fit` wrote. For a task "
            "trained in Python, write a folder with `task.video_clip.save_pretrained(folder)` and load that."
        )
    return _with_weights(config, file, file)


def _with_weights(config: str, source: Path, checkpoint: Path | None) -> TrainedModel:
    """Returns the model of a configuration with the weights of a checkpoint.

    Args:
        config: Text of the configuration.
        source: File that it is from, for messages.
        checkpoint: Checkpoint; None for the weights that the configuration names.
    """
    settings = _settings(with_new_names(parsed_config(config)), source)
    video_clip, matcher = settings["video_clip"], settings["matcher"]
    if checkpoint is not None:
        content = read_checkpoint(checkpoint)
        for part, module in (("video_clip", video_clip), ("matcher", matcher)):
            weights = weights_of(content, part)
            if module is video_clip:
                video_clip.take_classes(weights)
            check_weights_match(module.state_dict(), weights, checkpoint)
            module.load_state_dict(weights)
        video_clip.read_training(content)
    clips: ClipSettings = settings["clips"]
    return TrainedModel(
        video_clip,
        matcher,
        Templates.load(settings["templates"]),
        settings["descriptors_per_class"],
        clips.with_defaults_from(video_clip.preprocessing),
    )


def _settings(config: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    """Instantiates the objects that a run's configuration describes; modules of their classes are imported."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoCLIP, "video_clip")
    parser.add_subclass_arguments(Matcher, "matcher")
    parser.add_argument("--templates", type=str)
    parser.add_argument("--descriptors_per_class", type=int)
    parser.add_argument("--clips", type=ClipSettings)
    try:
        model, data = config["model"]["init_args"], config["data"]["init_args"]
        selected = {name: model[name] for name in _MODEL_SETTINGS} | {"clips": data["clips"]}
        selected["video_clip"]["init_args"]["init_from"] = None  # the checkpoint contains the weights
    except (KeyError, TypeError) as error:
        raise UserError(f"The settings in {file} are incomplete or damaged ({error!r}).") from error
    try:
        settings: Mapping[str, Any] = parser.instantiate(parser.parse_object(selected))
    except ArgumentError as error:
        raise UserError(f"The settings in {file} can't be read ({error}).") from error
    return settings
