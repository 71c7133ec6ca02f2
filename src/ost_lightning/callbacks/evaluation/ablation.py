"""Many ways of matching, scored in one pass over the videos."""

import csv
import inspect
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from ost_lightning.analysis import AblationRow, AblationTable, EvaluationSetCard
from ost_lightning.callbacks.evaluation.weight_ensembling import WeightEnsembling
from ost_lightning.callbacks.recognition import recognition_data, recognition_task, run_folder
from ost_lightning.callbacks.reporting.published_lists import published_as
from ost_lightning.callbacks.reporting.settings import constructor_settings, plain
from ost_lightning.datamodules import REAL_VIDEOS, LabeledVideos, VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models import DescriptorEmbeddings
from ost_lightning.resources import TINY_CLIP
from ost_lightning.tasks import AS_TRAINED, RecognitionAccuracy, RecognitionTask
from ost_lightning.text import LabelSpace, LabelSpaceError, SentenceSet, Templates
from ost_lightning.video import ClipBatch

_COUNTS: Final = ("videos", "undecodable")
_Found = Mapping[str, Sequence[Mapping[str, Tensor] | None]]
"""Accuracy by evaluation set and setting; None where there are too few descriptors."""
_ONE_MODEL: Final = (
    "One model is scored in every row, trained as its experiment says; a row shows what changes at evaluation."
)


@dataclass(frozen=True)
class ShownRow:
    """Where a setting stands in the table.

    Attributes:
        part: Part of the table, as `4a`.
        name: What the row is called.
        paper: Published Top-1 in percent, by data set.
    """

    part: str
    name: str
    paper: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationSetting:
    """One way of scoring videos; it is scored once, however often it is shown.

    Attributes:
        matcher: Mechanism.
        rows: Where it stands in the table.
        templates: Sentence templates: a name or a YAML file; the experiment's if not given.
        descriptors_per_class: N; the experiment's if not given.
        ratio: Share of the original weights, 0 to 1; 0 is the model as it is.
        label_spaces: Label spaces with other descriptors of the same classes, by evaluation set.
    """

    matcher: Matcher
    rows: list[ShownRow]
    templates: str | None = None
    descriptors_per_class: int | None = None
    ratio: float = 0.0
    label_spaces: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Scorer:
    """One setting on one evaluation set: `sentences` are missing where the label space has too few descriptors."""

    setting: AblationSetting
    weights: str
    classes: int
    sentences: SentenceSet | None
    accuracy: RecognitionAccuracy
    right: list[bool] = field(default_factory=list)


_weights_of = attrgetter("weights")


class Ablation(Callback):
    """Scores many settings in one test, each video decoded and encoded once for each set of weights.

    A setting gives, video by video, what a test of its own would: the same embeddings of the same batches go through
    the same arithmetic. What differs between the settings is evaluated only: one model is scored in every row.

    Writes `ablation.json`, `ablation.md` and `ablation_videos.csv` (which videos each setting got right).

    Args:
        settings: What is scored.
        parts: Titles of the table's parts.
        source: A sentence about the published figures.
        folder: Where results are written; the run's folder if not given.
    """

    def __init__(
        self,
        settings: list[AblationSetting],
        parts: dict[str, str] | None = None,
        source: str = "",
        folder: Path | None = None,
    ) -> None:
        if not settings or any(not setting.rows for setting in settings):
            raise UserError("An ablation needs settings, and each setting at least one row of the table.")
        if any(setting.descriptors_per_class is not None and setting.descriptors_per_class < 1 for setting in settings):
            raise UserError("An ablation's descriptors_per_class must be at least 1, or left out.")
        self.settings, self.parts, self.source, self.folder = settings, parts or {}, source, folder
        self._ensembling = WeightEnsembling(sorted({setting.ratio for setting in settings} - {0.0}))
        self._scorers: dict[str, list[_Scorer]] = {}
        self._texts: dict[Hashable, DescriptorEmbeddings] = {}
        self._remarks: dict[str, str] = {}
        self._ids: dict[str, list[str]] = {}
        self._seen = self._known = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Announces the mixtures of weights that will be scored."""
        if stage != "test":
            raise UserError("An ablation is part of a test, of nothing else: run `ost ablate`.")
        self._ensembling.setup(trainer, pl_module, stage)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes weights, and looks which settings the label spaces allow.

        Raises:
            UserError: If none, or if templates or label spaces are missing.
        """
        task, data = recognition_task(self, pl_module), recognition_data(self, trainer)
        self._scorers, self._texts, self._remarks, self._seen, self._known = {}, {}, {}, 0, 0
        self._ids = {name: [] for name in data.evaluation_labels("test")}
        _refuse_unknown_sets(self.settings, list(self._ids))
        if self._ensembling.ratios:
            self._ensembling.on_test_start(trainer, pl_module)
        for name, labels in data.evaluation_labels("test").items():
            self._scorers[name] = [self._scorer(task, setting, name, labels) for setting in self.settings]
        if not any(scorer.sentences for scorers in self._scorers.values() for scorer in scorers):
            raise UserError(f"Nothing of this ablation can be scored: {' '.join(self._remarks.values())}")
        for remark, reason in self._remarks.items():
            rank_zero_warn(f"{remark} {reason}")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: ClipBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the batch in every setting."""
        task = recognition_task(self, pl_module)
        name = list(self._scorers)[dataloader_idx]
        self._ids[name] += batch.ids
        self._seen += len(batch)
        self._known += len(batch) if not batch.frames.numel() else 0
        self._ensembling.on_test_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)
        for weights, scorers in groupby(sorted(self._scorers[name], key=_weights_of), key=_weights_of):
            with task.using(weights):
                for scorer in scorers:
                    self._score(task, scorer, batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the table."""
        task, data = recognition_task(self, pl_module), recognition_data(self, trainer)
        found = {
            name: [scorer.accuracy.compute() if scorer.sentences else None for scorer in scorers]
            for name, scorers in self._scorers.items()
        }
        folder = self.folder or run_folder(trainer)
        if folder is not None:
            self._write_hits(folder, trainer)
        if not trainer.is_global_zero:
            return
        listed = data.evaluation_sets("test")
        table = AblationTable(
            world=_world(data.world, task.video_clip.pretrained),
            source=self.source,
            parts=self.parts,
            sets={name: _card(listed[name], every) for name, every in found.items() if any(every)},
            rows=self._rows(task, found),
            conditions=_conditions(trainer, task, data),
            remarks=(*self._remarks, _ONE_MODEL),
        )
        print(f"\n{table.markdown()}")
        rank_zero_info(f"{self._known} of {self._seen} videos of this process were in the cache of embeddings")
        if folder is not None:
            table.save(folder)
            rank_zero_info(f"ablation.md, ablation.json and ablation_videos.csv are in {folder}")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Frees mixtures and text embeddings."""
        self._ensembling.on_test_end(trainer, pl_module)
        self._scorers, self._texts = {}, {}

    def _scorer(self, task: RecognitionTask, setting: AblationSetting, name: str, labels: LabelSpace) -> _Scorer:
        """What scores one setting on one evaluation set."""
        if next(setting.matcher.parameters(), None) is not None:
            raise UserError(
                f"The matcher of the ablation's row '{setting.rows[0].name}' has weights of its own, which nothing in "
                "an ablation trains. Train an experiment with it, and test that."
            )
        setting.matcher.to(task.device).eval()
        templates = Templates.load(setting.templates) if setting.templates is not None else task.templates
        if replaced := setting.label_spaces.get(name):
            labels = LabelSpace.load(replaced).select(labels.names)
        count = setting.descriptors_per_class or task.descriptors_per_class
        kinds = setting.matcher.kinds
        sentences = None
        try:
            sentences = templates.apply(labels, kinds, count)
        except LabelSpaceError as error:
            rows = ", ".join(f"{row.part} {row.name}" for row in setting.rows)
            lacking = f"`{name}` has no row {rows}: some of its classes have fewer than {count} descriptors."
            self._remarks[lacking] = str(error)
        weights = f"ensembled_{setting.ratio:g}" if setting.ratio else AS_TRAINED
        return _Scorer(setting, weights, len(labels), sentences, RecognitionAccuracy().to(task.device))

    def _score(self, task: RecognitionTask, scorer: _Scorer, batch: ClipBatch) -> None:
        """Counts a batch in one setting; the encoder has the setting's weights."""
        if scorer.sentences is None:
            return
        undecodable = int((~batch.decoded).sum())
        labels = batch.labels[batch.decoded.to(task.device)] if undecodable else batch.labels
        scores = torch.zeros((0, scorer.classes), device=task.device)
        if len(labels):
            texts = self._encoded(task, scorer.weights, scorer.sentences)
            scores = task.probabilities_of(task.embed(batch, scorer.weights), texts, scorer.setting.matcher)
        scorer.accuracy.update(scores, labels, undecodable)
        right = torch.zeros(len(batch), dtype=torch.bool)
        right[batch.decoded] = (scores.topk(1).indices[:, 0] == labels).cpu()
        scorer.right += right.tolist()

    def _encoded(self, task: RecognitionTask, weights: str, sentences: SentenceSet) -> DescriptorEmbeddings:
        """Sentences as embeddings; settings with the same sentences and weights share them."""
        key = (weights, tuple(sentences.sentences.items()))
        if key not in self._texts:
            self._texts[key] = task.video_clip.encode_sentences(task.video_clip.tokenize(sentences))
        return self._texts[key]

    def _rows(self, task: RecognitionTask, found: _Found) -> list[AblationRow]:
        """Rows in the order of the parts, then of the settings."""
        rows = []
        for k, setting in enumerate(self.settings):
            scored = {name: values for name, every in found.items() if (values := every[k]) is not None}
            top1, top5 = ({name: float(values[key]) for name, values in scored.items()} for key in ("top1", "top5"))
            words = _words(task, setting)
            rows += [AblationRow(row.part, row.name, words, top1, top5, row.paper) for row in setting.rows]
        places = {part: place for place, part in enumerate(self.parts)}
        return sorted(rows, key=lambda row: places.get(row.part, len(places)))

    def _write_hits(self, folder: Path, trainer: Trainer) -> None:
        """For each video, which settings were right: what paired comparisons need."""
        suffix = f"-{trainer.global_rank}" if trainer.world_size > 1 else ""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"ablation_videos{suffix}.csv").open("w", newline="", encoding="utf-8") as handle:
            rows = csv.writer(handle)
            rows.writerow(["set", "video", *(f"{row.part} {row.name}" for row, *_ in (s.rows for s in self.settings))])
            for name, scorers in self._scorers.items():
                for place, id_ in enumerate(self._ids[name]):
                    rows.writerow([name, id_, *(int(s.right[place]) if s.sentences else "" for s in scorers)])


def _refuse_unknown_sets(settings: Sequence[AblationSetting], names: Sequence[str]) -> None:
    if unknown := sorted({name for setting in settings for name in setting.label_spaces} - set(names)):
        raise UserError(
            f"The ablation's label_spaces name the evaluation set {unknown[0]}, which this experiment does not have. "
            f"It has: {', '.join(names)}."
        )


def _card(videos: LabeledVideos, found: Sequence[Mapping[str, Tensor] | None]) -> EvaluationSetCard:
    scored, undecodable = (max(int(values[key]) for values in found if values) for key in _COUNTS)
    published = published_as(videos)
    split_of = published.benchmark if published is not None and published.part.startswith("split ") else None
    return EvaluationSetCard(len(videos.labels), scored, undecodable, split_of)


def _world(world: str, pretrained: str) -> str:
    toy = world != REAL_VIDEOS or pretrained == TINY_CLIP
    return f"{world}, {pretrained} CLIP" + (": no statement about real videos or a real CLIP" if toy else "")


def _words(task: RecognitionTask, setting: AblationSetting) -> str:
    """A setting as the configuration would say it."""
    matcher = setting.matcher
    defaults = inspect.signature(type(matcher)).parameters
    changed = [
        f"{name}={value}"
        for name, value in constructor_settings(matcher).items()
        if value != plain(defaults[name].default)
    ]
    parts = [f"{type(matcher).__name__}({', '.join(changed)})"]
    parts.append(f"templates {setting.templates or Path(task.templates.origin).stem}")
    parts.append(f"N = {setting.descriptors_per_class or task.descriptors_per_class}")
    parts.append(f"{setting.ratio:g} of the original weights")
    parts += [f"{name} with the descriptors of {space}" for name, space in setting.label_spaces.items()]
    return ", ".join(parts)


def _conditions(trainer: Trainer, task: RecognitionTask, data: VideoDataModule) -> dict[str, str]:
    clips = data.clips
    return {
        "checkpoint": str(trainer.ckpt_path or "none, the pre-trained weights"),
        "matcher of the experiment": type(task.matcher).__name__,
        "frames x views x crops": f"{clips.frames} x {clips.views} x {clips.crops}",
        "precision": f"{trainer.precision} on {task.device.type}",
    }
