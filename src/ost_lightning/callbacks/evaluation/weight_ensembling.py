"""Weight-space ensembling at test time."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError
from ost_lightning.evaluation import mixture_name
from ost_lightning.tasks import RecognitionTask


class WeightEnsembling(ScorerCallback):
    """Scores mixtures of original and fine-tuned weights alongside the fine-tuned weights, in one pass over the videos.

    Every batch is decoded once and scored with each set of weights; results are logged as
    `test/{set}/ensembled_{ratio}/...`. All sets of weights are kept on the device. A mixture that mixes nothing is not
    scored: one of original weights with themselves, and one with a share of 0.

    Args:
        ratios: Shares of the original weights, 0 to 1; all are scored in one run.
        save_to: Folder for the mixtures, with one folder in HF format per ratio; None saves no mixtures.
    """

    def __init__(self, ratios: Sequence[float] = (0.2,), save_to: Path | None = None) -> None:
        super().__init__()
        if wrong := [ratio for ratio in ratios if not 0 <= ratio <= 1]:
            raise UserError(
                f"WeightEnsembling.ratios contains {wrong[0]}: a ratio is the share of the original weights, 0 to 1."
            )
        self.ratios, self.save_to = tuple(ratios), save_to

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mixes the weights, and adds a scorer for each mixture.

        Raises:
            UserError: If another callback already scores one of the mixtures.
        """
        task = recognition_task(self, pl_module)
        names = self.add_mixtures(task, trainer, self.ratios, "WeightEnsembling.ratios")
        if self.save_to is not None and trainer.is_global_zero:
            for name in names:
                with task.weight_sets.with_weights(name):
                    task.video_clip.save_pretrained(self.save_to / name)
        self._remove_unmixed(task, names)

    def _remove_unmixed(self, task: RecognitionTask, names: Sequence[str]) -> None:
        """Removes the mixtures whose scores would repeat those of the task's own weights."""
        if names and task.weight_sets.untuned:
            clip = task.video_clip
            if clip.part_settings() and clip.freeze_vision and clip.freeze_text:
                rank_zero_info(
                    "WeightEnsembling has nothing to mix, because both towers are frozen, and what is trained beside "
                    "them has no original weights: only the weights as trained are scored."
                )
                self.remove_scorers(task)
                return
            rank_zero_info(
                f"WeightEnsembling has nothing to mix, because these are the weights of {task.video_clip.tuned_from}: "
                "only they are scored. If they were fine-tuned, set model.video_clip.tuned_from to the model that they "
                "were fine-tuned from."
            )
            self.remove_scorers(task)
        elif (unmixed := mixture_name(0.0)) in names:
            rank_zero_info(f"WeightEnsembling does not score {unmixed}: it is the weights as trained.")
            self.remove_scorers(task, [unmixed])
