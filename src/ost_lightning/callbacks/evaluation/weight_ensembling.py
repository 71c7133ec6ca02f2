"""Weight-space ensembling at test time."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError
from ost_lightning.evaluation import evaluation_sets, mixture_name
from ost_lightning.tasks import RecognitionTask


class WeightEnsembling(Callback):
    """Scores mixtures of original and fine-tuned weights alongside the fine-tuned weights, in one pass over the videos.

    Every batch is decoded once and scored with each set of weights; results are logged as
    `test/{set}/ensembled_{ratio}/...`. All sets of weights are kept on the device. A mixture that mixes nothing is not
    scored: one of original weights with themselves, and one with a share of 0.

    Args:
        ratios: Shares of the original weights, 0 to 1; all are scored in one run.
        save_to: Folder for the mixtures, with one folder in HF format per ratio; None saves no mixtures.
    """

    def __init__(self, ratios: Sequence[float] = (0.2,), save_to: Path | None = None) -> None:
        if wrong := [ratio for ratio in ratios if not 0 <= ratio <= 1]:
            raise UserError(
                f"WeightEnsembling.ratios contains {wrong[0]}: a ratio is the share of the original weights, 0 to 1."
            )
        self.ratios, self.save_to = tuple(ratios), save_to
        self._added: list[str] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes the weights, and adds a scorer for each mixture.

        Raises:
            UserError: If another callback already scores one of the mixtures.
        """
        task = recognition_task(self, pl_module)
        self._added = add_mixtures(task, trainer, self.ratios, "WeightEnsembling.ratios")
        if self.save_to is not None and trainer.is_global_zero:
            for name in self._added:
                with task.weight_sets.with_weights(name):
                    task.video_clip.save_pretrained(self.save_to / name)
        self._remove_unmixed(task)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Frees the mixtures."""
        self._free(recognition_task(self, pl_module))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Frees the mixtures, because the task may be tested again."""
        if isinstance(pl_module, RecognitionTask):
            self._free(pl_module)

    def _remove_unmixed(self, task: RecognitionTask) -> None:
        """Removes the mixtures whose scores would repeat those of the task's own weights."""
        if self._added and task.weight_sets.untuned:
            rank_zero_info(
                f"WeightEnsembling has nothing to mix, because these are the weights of {task.video_clip.tuned_from}: "
                "only they are scored. If they were fine-tuned, set model.video_clip.tuned_from to the model that they "
                "were fine-tuned from."
            )
            self._free(task)
        if (unmixed := mixture_name(0.0)) in self._added:
            rank_zero_info(f"WeightEnsembling does not score {unmixed}: it is the weights as trained.")
            remove_mixtures(task, [unmixed])
            self._added.remove(unmixed)

    def _free(self, task: RecognitionTask) -> None:
        remove_mixtures(task, self._added)
        self._added = []


def add_mixtures(task: RecognitionTask, trainer: Trainer, ratios: Sequence[float], setting: str) -> list[str]:
    """Adds mixtures of weights to a test, scored with the task's sentences and matcher.

    Args:
        task: Task under test.
        trainer: Trainer of the test, after its test loaders were created.
        ratios: Shares of the original weights.
        setting: Name of the setting that contains the ratios, for messages.

    Returns:
        Names of the mixtures, which are the names of their scorers too.

    Raises:
        UserError: If a mixture is already scored.
    """
    if twice := [ratio for ratio in ratios if mixture_name(ratio) in task.weight_sets.names]:
        raise UserError(
            f"{setting} contains {twice[0]:g}, which another callback of this run already scores, such as the "
            "experiment's WeightEnsembling. Remove it from one of them."
        )
    names = list(task.weight_sets.add_mixtures(ratios).values())
    sets = evaluation_sets(trainer.test_dataloaders)
    for name in names:
        task.scorers[name] = task.scorer(sets, name)
    return names


def remove_mixtures(task: RecognitionTask, names: Sequence[str]) -> None:
    """Frees mixtures and removes their scorers."""
    task.weight_sets.remove(names)
    for name in names:
        task.scorers.pop(name, None)
