"""What all callbacks have in common that score videos in more ways during an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError
from ost_lightning.evaluation import SCORED, ScoredBatch, Scorer, evaluation_sets, mixture_name
from ost_lightning.tasks import RecognitionTask


class ScorerCallback(Callback):
    """Base of callbacks that add scorers to a test, or to a validation of its own.

    A subclass adds its scorers when the evaluation starts, and looks at each batch in `observe`. When the evaluation
    ends or fails, the scorers are removed and their weights freed, because the task may be evaluated again.
    """

    def __init__(self) -> None:
        self._added: list[str] = []

    def observe(self, task: RecognitionTask, scored: ScoredBatch, batch: Any) -> None:
        """Sees a batch after all scorers. It is called only while the callback has scorers.

        Args:
            task: Task under evaluation.
            scored: Class probabilities of the batch's readable videos, by scorer.
            batch: What was scored: clips or embeddings.
        """

    def add_scorers(self, task: RecognitionTask, scorers: Mapping[str, Scorer]) -> None:
        """Adds scorers until the end of the evaluation.

        Args:
            task: Task whose evaluation starts.
            scorers: Scorers by name.
        """
        task.scorers.update(scorers)
        self._added += scorers

    def add_mixtures(self, task: RecognitionTask, trainer: Trainer, ratios: Sequence[float], setting: str) -> list[str]:
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
        self.add_scorers(task, {name: task.scorer(sets, name) for name in names})
        return names

    def remove_scorers(self, task: RecognitionTask, names: Sequence[str] | None = None) -> None:
        """Removes scorers that this callback added, and frees their mixtures of weights.

        Args:
            task: Task under evaluation.
            names: Names of the scorers; all if not given.
        """
        removed = [name for name in self._added if names is None or name in names]
        task.weight_sets.remove(removed)
        for name in removed:
            task.scorers.pop(name, None)
            self._added.remove(name)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Passes a scored batch to `observe`."""
        if self._added:
            self.observe(recognition_task(self, pl_module), outputs[SCORED], batch)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Passes a scored batch to `observe`."""
        self.on_test_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the scorers."""
        if isinstance(pl_module, RecognitionTask):
            self.remove_scorers(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the scorers."""
        self.on_test_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Removes the scorers."""
        self.on_test_end(trainer, pl_module)
