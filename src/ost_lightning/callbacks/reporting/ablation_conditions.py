"""Descriptions of a run and its settings for an ablation table."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lightning.pytorch import Trainer
from torch import Tensor

from ost_lightning.analysis import EvaluationSetCard
from ost_lightning.analysis.results.summaries import split_titles
from ost_lightning.callbacks.reporting.data_cards import data_card, vocabulary_digest
from ost_lightning.callbacks.reporting.published_lists import published_as
from ost_lightning.datamodules import REAL_VIDEOS, LabeledVideos, VideoDataModule
from ost_lightning.matching import Matcher
from ost_lightning.models import constructor_settings, plain
from ost_lightning.resources import TINY_MODELS
from ost_lightning.tasks import RecognitionTask

_COUNTS: Final = ("videos", "undecodable")


def world_and_model(world: str, pretrained: str) -> str:
    """Describes the kind of videos and the CLIP that scored them, with a warning if either is a toy.

    Args:
        world: Kind of videos of the data module: real, or rendered.
        pretrained: CLIP that the model was initialized from.
    """
    kind = TINY_MODELS.get(pretrained, "CLIP")
    model = f"tiny {kind}" if pretrained in TINY_MODELS else f"{pretrained} {kind}"
    toy = world != REAL_VIDEOS or pretrained in TINY_MODELS
    return f"{world}, {model}" + (f": no statement about real videos or a real {kind}" if toy else "")


def set_cards(
    task: RecognitionTask, sets: Mapping[str, LabeledVideos], found: Mapping[str, Sequence[Mapping[str, Tensor]]]
) -> dict[str, EvaluationSetCard]:
    """Returns the description of each evaluation set: its size, its classes, and the data set that it is a split of.

    Args:
        task: Task that scored the videos.
        sets: Videos by name of the set.
        found: Metrics of each setting that was scored, by name of the set; sets that no setting scored are left out.
    """
    scored = {name: metrics for name, metrics in found.items() if metrics}
    vocabularies, cards = {}, {}
    for name in scored:
        vocabularies[name] = vocabulary_digest(sets[name].labels, described=True)
        card = data_card(sets[name], task, published_as(sets[name]).list, None)
        # rows may use descriptors that the task's own matcher doesn't
        cards[name] = replace(card, vocabulary=vocabularies[name], sentences={"all": vocabularies[name]})
    titles = split_titles(cards)
    described = {}
    for name, metrics in scored.items():
        videos, undecodable = (max(int(values[key]) for values in metrics) for key in _COUNTS)
        vocabulary = f"{vocabularies[name]}, {cards[name].name_form}"
        described[name] = EvaluationSetCard(len(sets[name].labels), videos, undecodable, titles.get(name), vocabulary)
    return described


def setting_in_words(
    matcher: Matcher, templates: str, descriptors_per_class: int, ratio: float, label_spaces: Mapping[str, str]
) -> str:
    """Describes an ablation setting in one line.

    Args:
        matcher: Matcher of the setting.
        templates: Name or file of the sentence templates.
        descriptors_per_class: Number of descriptors of each kind.
        ratio: Share of the original weights.
        label_spaces: Label spaces that replace those of the evaluation sets, by set.
    """
    defaults = inspect.signature(type(matcher)).parameters
    changed = [
        f"{name}={value}"
        for name, value in constructor_settings(matcher).items()
        if value != plain(defaults[name].default)
    ]
    parts = [f"{type(matcher).__name__}({', '.join(changed)})"]
    parts += [f"templates {templates}", f"N = {descriptors_per_class}", f"{ratio:g} of the original weights"]
    parts += [f"{name} with the descriptors of {space}" for name, space in label_spaces.items()]
    return ", ".join(parts)


def template_name(task: RecognitionTask) -> str:
    """Returns the name of the task's sentence templates."""
    return Path(task.templates.origin).stem


def run_conditions(trainer: Trainer, task: RecognitionTask, data: VideoDataModule) -> dict[str, str]:
    """Returns checkpoint, matcher, clips and precision of a run."""
    clips, lower = data.clips, task.video_clip.encoder.cpu_precision
    return {
        "checkpoint": str(trainer.ckpt_path or "none, the pre-trained weights"),
        "matcher of the experiment": type(task.matcher).__name__,
        "frames x views x crops": f"{clips.frames} x {clips.views} x {clips.crops}",
        "precision": f"{trainer.precision} on {task.device.type}" + ("" if lower == "fp32" else f", frames in {lower}"),
    }
