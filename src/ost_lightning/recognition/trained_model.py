"""Models by the names that people give them: a hub id, a folder, a checkpoint or the folder of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jsonargparse import ArgumentError, ArgumentParser

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.matching import Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP, check_weights_match
from ost_lightning.models.checkpoints.initial_weights import read_checkpoint, weights_of
from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT, last_checkpoint
from ost_lightning.renamed_settings import with_new_names
from ost_lightning.text import Templates

_FRAMES: Final = 8
"""Frames per clip where no training says how many: the paper's smaller setting."""
_MODEL_SETTINGS: Final = ("video_clip", "matcher", "templates", "descriptors_per_class")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Everything that a training decided about recognition.

    Attributes:
        video_clip: Encoder with its weights.
        matcher: Mechanism that scores videos against classes.
        templates: Sentence templates.
        descriptors_per_class: Number of descriptors of each kind, N.
        clips: How a video becomes a clip.
    """

    video_clip: VideoCLIP
    matcher: Matcher
    templates: Templates
    descriptors_per_class: int
    clips: ClipSettings


def load_trained_model(weights: str | Path) -> TrainedModel:
    """Reads weights, and the settings that they were trained with.

    Args:
        weights: Hub id, `tiny`, folder in HF format, checkpoint (`.ckpt`), or the folder of a run or experiment, whose
            newest `last.ckpt` counts. Weights without a training get the paper's settings: the OD Solver, the
            templates `ost`, 4 descriptors of each kind and 8 frames.

    Raises:
        UserError: If there are no such weights, or their settings can't be read.
    """
    checkpoint = _checkpoint_of(Path(weights))
    if checkpoint is not None:
        return _from_checkpoint(checkpoint)
    video_clip = VideoCLIP(str(weights))
    clips = ClipSettings(frames=_FRAMES).following(video_clip.preprocessing)
    return TrainedModel(video_clip, OptimalDescriptorSolver(), Templates.load("ost"), 4, clips)


def _checkpoint_of(path: Path) -> Path | None:
    """The checkpoint that a path means; None if it is a folder in HF format, or no path."""
    if path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    own = path / "checkpoints" / "last.ckpt"
    found = own if own.is_file() else last_checkpoint(path)
    if found is None:
        raise UserError(
            f"The folder {path} holds no weights: expected config.json of a model in HF format, checkpoints/last.ckpt "
            "of a run, or version_*/checkpoints/last.ckpt of an experiment."
        )
    return found


def _from_checkpoint(file: Path) -> TrainedModel:
    content = read_checkpoint(file)
    config = content.get(CONFIG_IN_CHECKPOINT)
    if config is None:
        raise UserError(
            f"{file} doesn't say how its model is built: expected a checkpoint that `ost fit` wrote. A task that was "
            "trained in Python is written as a folder with `task.video_clip.save_pretrained(folder)`."
        )
    settings = _settings(with_new_names(config), file)
    video_clip, matcher = settings["video_clip"], settings["matcher"]
    for part, module in (("video_clip", video_clip), ("matcher", matcher)):
        weights = weights_of(content, part)
        check_weights_match(module.state_dict(), weights, file)
        module.load_state_dict(weights)
    clips: ClipSettings = settings["clips"]
    return TrainedModel(
        video_clip,
        matcher,
        Templates.load(settings["templates"]),
        settings["descriptors_per_class"],
        clips.following(video_clip.preprocessing),
    )


def _settings(config: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    """The objects that a run's configuration describes."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoCLIP, "video_clip")
    parser.add_subclass_arguments(Matcher, "matcher")
    parser.add_argument("--templates", type=str)
    parser.add_argument("--descriptors_per_class", type=int)
    parser.add_argument("--clips", type=ClipSettings)
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    wanted = {name: model[name] for name in _MODEL_SETTINGS} | {"clips": data["clips"]}
    wanted["video_clip"]["init_args"]["init_from"] = None  # the checkpoint has the weights
    try:
        settings: Mapping[str, Any] = parser.instantiate(parser.parse_object(wanted))
    except ArgumentError as error:
        raise UserError(f"The settings in {file} can't be read ({error}).") from error
    return settings
