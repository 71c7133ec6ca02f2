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
    """Scores mixtures of original and fine-tuned weights beside the fine-tuned ones, in the same pass over the videos.

    Every batch is decoded once and scored with each set of weights; results appear as
    `test/{set}/ensembled_{ratio}/...`. All sets of weights are kept on the device.

    Args:
        ratios: Shares of the original weights, 0 to 1; several are scored in one run.
        save_to: Folder for the mixtures, one folder in HF format per ratio; None saves none.
    """

    def __init__(self, ratios: Sequence[float] = (0.2,), save_to: Path | None = None) -> None:
        if wrong := [ratio for ratio in ratios if not 0 <= ratio <= 1]:
            raise UserError(
                f"WeightEnsembling.ratios holds {wrong[0]}: a ratio is the share of the original weights, 0 to 1."
            )
        self.ratios, self.save_to = tuple(ratios), save_to
        self._added: list[str] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes the weights, and adds a scorer for each mixture.

        Raises:
            UserError: If another callback scores one of them already.
        """
        task = recognition_task(self, pl_module)
        self._added = add_mixtures(task, trainer, self.ratios, "WeightEnsembling.ratios")
        if self._added and task.weight_sets.untuned:
            rank_zero_info("WeightEnsembling: the weights are the original ones, so every mixture is too")
        if self.save_to is not None and trainer.is_global_zero:
            for name in self._added:
                with task.weight_sets.with_weights(name):
                    task.video_clip.save_pretrained(self.save_to / name)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Frees the mixtures."""
        self._free(recognition_task(self, pl_module))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Frees them too: the task may be tested again."""
        if isinstance(pl_module, RecognitionTask):
            self._free(pl_module)

    def _free(self, task: RecognitionTask) -> None:
        remove_mixtures(task, self._added)
        self._added = []


def add_mixtures(task: RecognitionTask, trainer: Trainer, ratios: Sequence[float], setting: str) -> list[str]:
    """Lets a test score mixtures of weights, with the task's own sentences and matcher.

    Args:
        task: The task that is tested.
        trainer: Its trainer, whose test loaders are known.
        ratios: Shares of the original weights.
        setting: Setting that holds the ratios, for messages.

    Returns:
        Names of the mixtures and their scorers.

    Raises:
        UserError: If a mixture is scored already.
    """
    if twice := [ratio for ratio in ratios if mixture_name(ratio) in task.weight_sets.names]:
        raise UserError(
            f"{setting} holds {twice[0]:g}, which another callback of this run scores already, such as the "
            "WeightEnsembling of the experiment: leave it out of one of them."
        )
    names = list(task.weight_sets.add_mixtures(ratios).values())
    sets = evaluation_sets(trainer.test_dataloaders)
    for name in names:
        task.scorers[name] = task.scorer(sets, name)
    return names


def remove_mixtures(task: RecognitionTask, names: Sequence[str]) -> None:
    """Frees mixtures, and takes their scorers away."""
    task.weight_sets.remove(names)
    for name in names:
        task.scorers.pop(name, None)
