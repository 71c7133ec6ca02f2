"""`results.json` and `results.md` of every test run: scores, and the conditions under which they were measured."""

import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning import __version__
from ost_lightning.analysis.results.order_report import OrderScore
from ost_lightning.analysis.results.protocols import Protocol, remarks
from ost_lightning.analysis.results.run_results import RESULTS_FILE, RunResults, Score, SetResult
from ost_lightning.analysis.results.summaries import not_combined, summarize
from ost_lightning.analysis.results.transductive import TransductiveScore
from ost_lightning.analysis.terminal_table import print_markdown
from ost_lightning.callbacks.recognition import recognition_data, recognition_task, run_folder
from ost_lightning.callbacks.reporting.code_revision import git_state
from ost_lightning.callbacks.reporting.data_cards import data_card, name_form, sentence_digests
from ost_lightning.callbacks.reporting.published_lists import published_as
from ost_lightning.callbacks.reporting.settings import clip_settings, model_settings
from ost_lightning.callbacks.reporting.tested_checkpoint import report_weights, tested_checkpoint
from ost_lightning.callbacks.reporting.training_differences import clip_differences
from ost_lightning.callbacks.reporting.training_record import KEY, TrainingRecord
from ost_lightning.callbacks.reporting.wandb_report import log_report
from ost_lightning.datamodules import VideoDataModule
from ost_lightning.files import write_text_atomically
from ost_lightning.models.safe_checkpoints import load_as_data
from ost_lightning.tasks import RecognitionTask
from ost_lightning.vocabulary import AS_TRAINED, PRETRAINED

_FIGURES: Final = ("top1", "top5", "videos", "undecodable")
_MIXTURE: Final = "ensembled_"
_Report = TypeVar("_Report", OrderScore, TransductiveScore)


class ResultsWriter(Callback):
    """Writes the scores of a test with their conditions and every deviation from the protocol.

    During training it adds a record of the training videos to every checkpoint, so that a later test can count how many
    of its videos were trained on. The `ost` command always adds this callback. If a test is logged to W&B, a report of
    it is an artifact there.

    Attributes:
        setting_differences: Sentences on model settings that differ from the training and affect scores, for the
            remarks. The `ost` command, which knows both configurations, prints and sets them.
        order_scores: Scores in several orders of the frames, by set and name of the weights. `OrderReport` sets them
            during a test.
        transductive_scores: Scores with a test-time cache, by set and name of the weights. `TransductiveReport` sets
            them during a test.

    Args:
        protocol: Published protocol that the run is compared with; deviations are printed and saved.
        method: Name of the method in tables; None for task, temporal head and matcher.
    """

    def __init__(self, protocol: Protocol | None = None, method: str | None = None) -> None:
        self.protocol, self.method = protocol, method
        self._record: TrainingRecord | None = None
        self._resumed: TrainingRecord | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._training: TrainingRecord | None = None
        self._own_weights = AS_TRAINED
        self._written: Path | None = None
        self.setting_differences: list[str] = []
        self.order_scores: Mapping[str, Mapping[str, OrderScore]] = {}
        self.transductive_scores: Mapping[str, Mapping[str, TransductiveScore]] = {}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps the training record of the checkpoint that training is resumed from."""
        self._resumed = TrainingRecord.load(checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Creates the record of this training."""
        task, data = recognition_task(self, pl_module), recognition_data(self, trainer)
        clip = task.video_clip
        before, contents = clip.init_from, {}
        if before is not None and before.is_file():
            contents = load_as_data(before)
        name = before or (clip.pretrained if clip.pretrained != clip.tuned_from else None)
        steps = trainer.estimated_stepping_batches
        record = TrainingRecord.of(
            data.training_set,
            data.evaluation_sets("val"),
            seed=_run_seed(),
            steps=int(steps) if isfinite(steps) else -1,
            before=TrainingRecord.load(contents),
            began_with=Path(name).name if name is not None else None,
            name_form=name_form(task, data.training_set.labels),
            sentences={**sentence_digests(task, data.training_set.labels), **task.training_texts},
        )
        _report_differences(task, data)  # from the weights that training resumes from or begins with
        self._record = record.after(self._resumed) if self._resumed is not None else record
        self._resumed = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the training record to a checkpoint."""
        if self._record is not None:
            checkpoint[KEY] = self._record.content()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the training record of the tested checkpoint, and prints which weights are tested."""
        task = recognition_task(self, pl_module)
        report_weights(trainer, task)
        _report_differences(task, recognition_data(self, trainer))
        path = trainer.ckpt_path if trainer.ckpt_path is not None else task.video_clip.init_from
        self._checkpoint, self._training, self._own_weights, self.order_scores = None, None, AS_TRAINED, {}
        self.transductive_scores = {}
        if trainer.is_global_zero and path is not None and Path(path).is_file():
            self._checkpoint, self._training = tested_checkpoint(Path(path))
        if trainer.is_global_zero and path is None and self._record is None and task.weight_sets.are_original():
            self._own_weights = PRETRAINED

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints which clip settings differ from the training, unless this validation belongs to a training."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            _report_differences(recognition_task(self, pl_module), recognition_data(self, trainer))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints which clip settings differ from the training."""
        _report_differences(recognition_task(self, pl_module), recognition_data(self, trainer))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes both files and prints the remarks."""
        folder = run_folder(trainer)
        if folder is None or not trainer.is_global_zero:
            return
        results = self._results(trainer, pl_module, folder)
        results.save(folder / RESULTS_FILE)
        text = results.markdown()
        write_text_atomically(folder / "results.md", text)
        print_markdown(f"\n{text}")
        rank_zero_info(f"Results written to {folder / RESULTS_FILE}")
        self._written = folder

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Logs a report to W&B, after all callbacks have written their files."""
        if stage == TrainerFn.TESTING and self._written is not None:
            log_report(trainer, self._written)
        self._written = None

    def _task_and_data(self, trainer: Trainer, pl_module: LightningModule) -> tuple[RecognitionTask, VideoDataModule]:
        return recognition_task(self, pl_module), recognition_data(self, trainer)

    def _results(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> RunResults:
        task, data = self._task_and_data(trainer, pl_module)
        videos = data.evaluation_sets("test")
        identified = {name: published_as(labeled) for name, labeled in videos.items()}
        seen = {
            name: self._training.seen(labeled) if self._training is not None else None
            for name, labeled in videos.items()
        }
        sets = {
            name: SetResult(
                data_card(labeled, task, identified[name].list, seen[name]),
                _scores(trainer.callback_metrics, name, videos, self._own_weights),
                self._by_weights(self.order_scores.get(name, {})),
                self._by_weights(self.transductive_scores.get(name, {})),
            )
            for name, labeled in videos.items()
        }
        training = self._training.card() if self._training is not None else None
        clips = clip_settings(data)
        found = [f"{name} {identity.doubt}" for name, identity in identified.items() if identity.doubt]
        found += remarks(self.protocol, sets, training, clips) + not_combined(sets)
        found += [labeled.repeats_message(name) for name, labeled in videos.items() if labeled.repeats]
        if self._checkpoint is not None:
            digests = {
                result.card.digest: name
                for name, result in sets.items()
                if self._training is None or self._training.may_have_validated_on(videos[name])
            }
            found += _selection_remarks(self._checkpoint, digests)
        model = model_settings(task)
        about_classes = {name: task.video_clip.remark_on(labeled.labels) for name, labeled in videos.items()}
        found += [f"{name}: {remark}" for name, remark in about_classes.items() if remark]
        found += [*self.setting_differences, *clip_differences(task, data)]
        if model.get("cpu_precision"):
            found.append(f"A CPU embedded the frames in {model['cpu_precision']}.")
        if task.video_clip.encoder.fp8:
            found.append("The linear layers of the vision tower computed in fp8 (e4m3).")
        return RunResults(
            run=f"{folder.parent.name}/{folder.name}",
            protocol=self.protocol,
            seed=_run_seed(),
            package=__version__,
            git=git_state(),
            model=model,
            clips=clips,
            checkpoint=self._checkpoint,
            sets=sets,
            summaries=summarize(sets),
            remarks=found,
            method=self.method,
        )

    def _by_weights(self, scores: Mapping[str, _Report]) -> dict[str, _Report]:
        """Returns scores of a report by the names of weights that results have."""
        return {self._own_weights if weights == AS_TRAINED else weights: score for weights, score in scores.items()}


def _report_differences(task: RecognitionTask, data: VideoDataModule) -> None:
    for difference in clip_differences(task, data):
        rank_zero_info(difference)


def _run_seed() -> int | None:
    """Returns the seed that was passed to `seed_everything`; None if it wasn't called."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed else None


def _selection_remarks(checkpoint: Mapping[str, Any], tested: Mapping[str, str]) -> list[str]:
    """Returns a remark if the checkpoint isn't the one from the end of training."""
    selection = checkpoint["selection"]
    if selection["by"] is not None:
        same = tested.get(selection["validated_on"] or "")
        where = f", which is the test set {same}: best-on-test selection" if same is not None else ""
        return [f"The checkpoint is the best one by {selection['by']}{where}."]
    if selection["last"] is False:
        return [f"The checkpoint is not the last one: it was saved {selection['saved']}."]
    return []


def _scores(metrics: Mapping[str, Any], name: str, sets: Mapping[str, Any], own: str) -> dict[str, Score]:
    """Returns the scores of a set from the metrics logged as `test/{set}/{weights}/{figure}`.

    Args:
        metrics: Metrics of all sets.
        name: Name of the set.
        sets: All sets by name.
        own: Name of the task's own weights, whose metrics name none.
    """
    prefix = f"test/{name}/"
    figures: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        weights, _, figure = key.removeprefix(prefix).rpartition("/")
        if key.startswith(prefix) and figure in _FIGURES and f"{name}/{weights}" not in sets and "/" not in weights:
            figures.setdefault(weights, {})[figure] = float(value)
    return {
        weights or own: Score(
            top1=round(found["top1"], 6),
            top5=round(found["top5"], 6),
            scored=int(found["videos"]),
            undecodable=int(found["undecodable"]),
            ensembling_ratio=float(weights.removeprefix(_MIXTURE)) if weights.startswith(_MIXTURE) else 0.0,
        )
        for weights, found in figures.items()
    }
