"""Ablation tables: many evaluation settings scored in one pass over the videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from ost_lightning.analysis import AblationRow, AblationTable
from ost_lightning.analysis.terminal_table import print_markdown
from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.recognition import recognition_data, recognition_task, run_folder
from ost_lightning.callbacks.reporting.ablation_conditions import (
    run_conditions,
    set_cards,
    setting_in_words,
    template_name,
    world_and_model,
)
from ost_lightning.callbacks.reporting.training_differences import clip_differences
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import (
    EmbeddedBatch,
    EvaluationSet,
    ScoredBatch,
    Scorer,
    evaluation_sets,
    mixture_name,
)
from ost_lightning.files import open_csv
from ost_lightning.matching import Matcher
from ost_lightning.tasks import RecognitionTask
from ost_lightning.text import LabelSpace, LabelSpaceError, SentenceSet, Templates
from ost_lightning.vocabulary import AS_TRAINED, counted

_ONE_MODEL: Final = (
    "Every row scores the same model, trained as its experiment says; only the evaluation differs between rows."
)

_UNTUNED: Final = "The encoder has its original weights, so rows with a share of these repeat the rows without."


@dataclass(frozen=True)
class ShownRow:
    """A row of the table.

    Attributes:
        part: Part of the table, such as `4a`.
        name: Name of the row.
        paper: Published Top-1 in percent, by data set.
    """

    part: str
    name: str
    paper: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationSetting:
    """One way of scoring videos. It is scored once, even if several rows show it.

    Attributes:
        matcher: Matcher of the setting.
        rows: Rows of the table that show the setting.
        templates: Sentence templates: a name or a YAML file; the experiment's if not given.
        descriptors_per_class: Number of descriptors of each kind, N; the experiment's if not given.
        ratio: Share of the original weights, 0 to 1; 0 scores the model's own weights.
        label_spaces: Label spaces with other descriptors of the same classes, by evaluation set.
    """

    matcher: Matcher
    rows: list[ShownRow]
    templates: str | None = None
    descriptors_per_class: int | None = None
    ratio: float = 0.0
    label_spaces: dict[str, str] = field(default_factory=dict)


class Ablation(ScorerCallback):
    """Scores many settings in one test. Each video is decoded and encoded once per set of weights.

    For each video a setting gives the same result as a separate test would: the same embeddings of the same batches go
    through the same arithmetic. The settings differ in evaluation only; every row scores the same model.

    Writes `ablation.json`, `ablation.md` and `ablation_videos.csv` (which videos each setting got right).

    Args:
        settings: Settings to score.
        parts: Titles of the table's parts.
        source: Sentence about the source of the published figures.
        folder: Folder for the results; the run's folder if not given.
    """

    def __init__(
        self,
        settings: list[AblationSetting],
        parts: dict[str, str] | None = None,
        source: str = "",
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        if not settings or any(not setting.rows for setting in settings):
            raise UserError("An ablation needs settings, and each setting at least one row of the table.")
        if any(setting.descriptors_per_class is not None and setting.descriptors_per_class < 1 for setting in settings):
            raise UserError("An ablation's descriptors_per_class must be at least 1, or unset for the experiment's.")
        if wrong := [setting for setting in settings if not 0 <= setting.ratio <= 1]:
            raise UserError(
                f"The ablation's row '{wrong[0].rows[0].name}' has the ratio {wrong[0].ratio:g}: a ratio is the share "
                "of the original weights, 0 to 1."
            )
        self.settings, self.parts, self.source, self.folder = settings, parts or {}, source, folder
        self._names = [f"ablation, setting {k}" for k in range(len(settings))]
        self._remarks: dict[str, str] = {}
        self._hits: dict[str, list[tuple[str, list[bool | None]]]] = {}
        self._scored = self._cached = 0

    def check_settings(self, sets: Sequence[str] | None) -> None:
        """Checks what needs no model: matchers, templates, label spaces, names of evaluation sets.

        Args:
            sets: Names of the evaluation sets; None if they are not known yet.

        Raises:
            UserError: If one of them is missing, or a matcher would have to be trained.
        """
        for setting in self.settings:
            _validate_matcher(setting)
            if setting.templates is not None:
                Templates.load(setting.templates)
            for labels in setting.label_spaces.values():
                LabelSpace.load(labels)
        if sets is not None:
            _validate_sets(self.settings, sets)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks that the trainer runs a test.

        Raises:
            UserError: If it runs something else.
        """
        if stage != "test":
            raise UserError(f"An ablation works only in a test, not in `{stage}`: run `ost ablate`.")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes weights, and adds a scorer for each setting that the label spaces allow.

        Raises:
            UserError: If they allow no setting, or if templates or label spaces are missing.
        """
        task, sets = recognition_task(self, pl_module), evaluation_sets(trainer.test_dataloaders)
        self._hits, self._remarks, self._scored, self._cached = {one.name: [] for one in sets}, {}, 0, 0
        _validate_sets(self.settings, [one.name for one in sets])
        ratios = sorted({setting.ratio for setting in self.settings} - {0.0})
        self.add_mixtures(task, trainer, ratios, "The ablation's ratio")
        scorers = [self._scorer(task, setting, sets) for setting in self.settings]
        if not any(scorer.sentences for scorer in scorers):
            raise UserError(f"No row of this ablation can be scored: {' '.join(self._remarks.values())}")
        for remark, reason in self._remarks.items():
            rank_zero_warn(f"{remark} {reason}")
        self.add_scorers(task, dict(zip(self._names, scorers, strict=True)))

    def observe(self, task: RecognitionTask, scored: ScoredBatch, batch: Any) -> None:
        """Records which videos each setting got right."""
        self._scored += len(batch)
        self._cached += len(batch) if isinstance(batch, EmbeddedBatch) else 0
        columns = [_hits(scored, name) for name in self._names]
        self._hits[scored.set.name] += zip(scored.videos.ids, map(list, zip(*columns, strict=True)), strict=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the table."""
        task, data = recognition_task(self, pl_module), recognition_data(self, trainer)
        results = task.evaluation.results()
        found = {
            name: {k: results[name, scorer] for k, scorer in enumerate(self._names) if (name, scorer) in results}
            for name in self._hits
        }
        folder = self.folder or run_folder(trainer)
        if folder is not None:
            self._write_hits(folder, trainer)
        if not trainer.is_global_zero:
            return
        scored = {name: [*every.values()] for name, every in found.items()}
        table = AblationTable(
            world=world_and_model(data.world, task.video_clip.pretrained),
            source=self.source,
            parts=self.parts,
            sets=set_cards(task, data.evaluation_sets("test"), scored),
            rows=self._rows(task, found),
            conditions=run_conditions(trainer, task, data),
            remarks=(
                *self._remarks,
                *clip_differences(task, data),
                *([_UNTUNED] if task.weight_sets.untuned else []),
                _ONE_MODEL,
            ),
        )
        print_markdown(f"\n{table.markdown()}")
        rank_zero_info(
            f"{self._cached:,} of {counted(self._scored, 'video')} of this process came from the embedding cache"
        )
        if folder is not None:
            table.save(folder)
            rank_zero_info(f"ablation.md, ablation.json and ablation_videos.csv written to {folder}")

    def _scorer(self, task: RecognitionTask, setting: AblationSetting, sets: Sequence[EvaluationSet]) -> Scorer:
        """Returns the scorer of a setting, for the evaluation sets whose label spaces have enough descriptors."""
        _validate_matcher(setting)
        setting.matcher.to(task.device).eval()
        templates = Templates.load(setting.templates) if setting.templates is not None else task.templates
        count = setting.descriptors_per_class or task.descriptors_per_class
        sentences: dict[str, SentenceSet] = {}
        for one in sets:
            labels = one.labels
            if replaced := setting.label_spaces.get(one.name):
                labels = LabelSpace.load(replaced).select(labels.names)
            try:
                sentences[one.name] = templates.apply(labels, setting.matcher.kinds, count, task.video_clip.token_count)
            except LabelSpaceError as error:
                rows = ", ".join(f"{row.part} {row.name}" for row in setting.rows)
                remark = f"No row {rows} for `{one.name}`: some of its classes have fewer than {count} descriptors."
                self._remarks[remark] = str(error)
        weights = mixture_name(setting.ratio) if setting.ratio else AS_TRAINED
        return Scorer(weights, sentences, setting.matcher, reported=False)

    def _rows(
        self, task: RecognitionTask, found: Mapping[str, Mapping[int, Mapping[str, Tensor]]]
    ) -> list[AblationRow]:
        """Returns the rows in the order of the parts, then of the settings."""
        rows = []
        for k, setting in enumerate(self.settings):
            scored = {name: every[k] for name, every in found.items() if k in every}
            top1, top5 = ({name: float(values[key]) for name, values in scored.items()} for key in ("top1", "top5"))
            words = setting_in_words(
                setting.matcher,
                setting.templates or template_name(task),
                setting.descriptors_per_class or task.descriptors_per_class,
                setting.ratio,
                setting.label_spaces,
            )
            rows += [AblationRow(row.part, row.name, words, top1, top5, row.paper) for row in setting.rows]
        indices = {part: index for index, part in enumerate(self.parts)}
        return sorted(rows, key=lambda row: indices.get(row.part, len(indices)))

    def _write_hits(self, folder: Path, trainer: Trainer) -> None:
        """Writes which settings recognized each video, for paired comparisons."""
        suffix = f"-{trainer.global_rank}" if trainer.world_size > 1 else ""
        folder.mkdir(parents=True, exist_ok=True)
        with open_csv(folder / f"ablation_videos{suffix}.csv") as handle:
            rows = CsvWriter(handle)
            rows.writerow(["set", "video", *(f"{row.part} {row.name}" for row, *_ in (s.rows for s in self.settings))])
            for name, videos in self._hits.items():
                for id_, hits in videos:
                    rows.writerow([name, id_, *("" if hit is None else int(hit) for hit in hits)])


def _hits(scored: ScoredBatch, scorer: str) -> list[bool] | list[None]:
    """Returns whether each video of a batch was recognized; None if the scorer skips the set."""
    videos = scored.videos
    if scorer not in scored.probabilities:
        return [None] * len(videos)
    right = torch.zeros(len(videos), dtype=torch.bool)
    right[videos.decoded] = (scored.probabilities[scorer].topk(1).indices[:, 0] == videos.readable_labels).cpu()
    return right.tolist()


def _validate_matcher(setting: AblationSetting) -> None:
    if next(setting.matcher.parameters(), None) is not None:
        raise UserError(
            f"The matcher of the ablation's row '{setting.rows[0].name}' has trainable weights, which an ablation "
            "doesn't train. Train an experiment with this matcher, and run `ost test` on it."
        )


def _validate_sets(settings: Sequence[AblationSetting], names: Sequence[str]) -> None:
    if unknown := sorted({name for setting in settings for name in setting.label_spaces} - set(names)):
        raise UserError(
            f"The ablation's label_spaces name the evaluation set {unknown[0]}, which this experiment doesn't have. "
            f"Expected one of: {', '.join(names)}."
        )
