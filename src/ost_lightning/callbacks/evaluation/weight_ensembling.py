"""Weight-space ensembling at test time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError
from ost_lightning.models import ensemble_weights, exchanged_weights
from ost_lightning.tasks import RecognitionTask


class WeightEnsembling(Callback):
    """Scores mixtures of original and fine-tuned weights beside the fine-tuned ones, in the same pass over the videos.

    Every batch is decoded once and scored with each set of weights; results appear as
    `test/{set}/ensembled_{ratio}/...`. All sets of weights are kept on the device.

    Args:
        ratios: Shares of the original weights, 0 to 1; several are scored in one run.
        save_to: Folder for the mixtures, one folder in HF format for each ratio.
    """

    def __init__(self, ratios: Sequence[float] = (0.2,), save_to: Path | None = None) -> None:
        if wrong := [ratio for ratio in ratios if not 0 <= ratio <= 1]:
            raise UserError(
                f"WeightEnsembling.ratios holds {wrong[0]}: a ratio is the share of the original weights, 0 to 1."
            )
        self.ratios, self.save_to = tuple(ratios), save_to
        self._names = {f"ensembled_{ratio:g}": ratio for ratio in self.ratios}
        self._untuned = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Announces the mixtures before the loaders are made: a cache of embeddings has to know of them.

        Raises:
            UserError: If one is scored already.
        """
        if stage != "test":
            return
        announced = recognition_task(self, pl_module).evaluated_weights
        if twice := [ratio for name, ratio in self._names.items() if name in announced]:
            raise UserError(
                f"WeightEnsembling.ratios holds {twice[0]:g}, which another callback of this run scores already, such "
                "as the WeightEnsembling of the experiment: leave it out of one of them."
            )
        announced |= self._names

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes the weights."""
        task = recognition_task(self, pl_module)
        tuned = dict(task.video_clip.named_parameters())
        original = task.video_clip.original_parameters()
        for name, ratio in self._names.items():
            task.mixtures[name] = ensemble_weights(original, tuned, ratio)
        self._untuned = all(torch.equal(weight.detach().cpu(), original[name]) for name, weight in tuned.items())
        if self._untuned:
            rank_zero_info("WeightEnsembling: the weights are the original ones, so every mixture is too")
        if self.save_to is not None and trainer.is_global_zero:
            for name in self._names:
                with exchanged_weights(task.video_clip, task.mixtures[name]):
                    task.video_clip.save_pretrained(self.save_to / name)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the batch with each mixture."""
        task = recognition_task(self, pl_module)
        for name in self._names:
            if self._untuned and bool(batch.decoded.any()):
                batch.embeddings[name] = task.embed(batch)
            task.evaluate(batch, dataloader_idx, weights=name)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Frees the mixtures."""
        self._free(recognition_task(self, pl_module))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Frees them too: the task may be tested again."""
        if isinstance(pl_module, RecognitionTask):
            self._free(pl_module)

    def _free(self, task: RecognitionTask) -> None:
        for name in self._names:
            task.evaluated_weights.pop(name, None)
            task.mixtures.pop(name, None)
