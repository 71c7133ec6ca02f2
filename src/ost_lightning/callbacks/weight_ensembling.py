"""Weight-space ensembling at test time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.models import ensemble_weights
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
        self._mixtures: dict[str, dict[str, Tensor]] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes the weights."""
        task = _recognition(pl_module)
        tuned = dict(task.video_clip.named_parameters())
        original = task.video_clip.original_parameters()
        self._mixtures = {f"ensembled_{ratio:g}": ensemble_weights(original, tuned, ratio) for ratio in self.ratios}
        task.evaluated_weights += self._mixtures
        if all(torch.equal(weight.detach().cpu(), original[name]) for name, weight in tuned.items()):
            rank_zero_info("WeightEnsembling: the weights are the original ones, so every mixture is too")
        if self.save_to is not None and trainer.is_global_zero:
            for name, mixture in self._mixtures.items():
                with _weights(task.video_clip, mixture):
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
        task = _recognition(pl_module)
        for name, mixture in self._mixtures.items():
            with _weights(task.video_clip, mixture):
                task.evaluate(batch, dataloader_idx, weights=name)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Frees the mixtures."""
        task = _recognition(pl_module)
        task.evaluated_weights = [name for name in task.evaluated_weights if name not in self._mixtures]
        self._mixtures = {}


@contextmanager
def _weights(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Lets the module's parameters point at other values for a while; nothing is copied."""
    own = {name: parameter.data for name, parameter in module.named_parameters()}
    try:
        for name, parameter in module.named_parameters():
            parameter.data = weights[name]
        yield
    finally:
        for name, parameter in module.named_parameters():
            parameter.data = own[name]


def _recognition(module: LightningModule) -> RecognitionTask:
    if not isinstance(module, RecognitionTask):
        raise UserError(f"WeightEnsembling works on recognition tasks, not on {type(module).__name__}.")
    return module
