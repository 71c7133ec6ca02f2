"""The complete configuration of a run: stored with the run, and compared with the configuration in a checkpoint."""

from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import run_folder
from ost_lightning.callbacks.resuming import CONFIG_IN_CHECKPOINT
from ost_lightning.dotted_names import flatten
from ost_lightning.escaping import without_passwords
from ost_lightning.experiment.settings_parser import settings_text
from ost_lightning.files import write_text_atomically
from ost_lightning.models.checkpoints.run_folders import parsed_config
from ost_lightning.renamed_settings import with_new_names

_PIXEL_STATISTICS: Final = "pixel_statistics"
_SCORING: Final = tuple(f"init_args.{name}" for name in ("video_clip", "matcher", "templates", "descriptors_per_class"))
"""Beginnings of the model settings that scores depend on."""
_IMPLICIT: Final = ("init_args.video_clip.init_args.scores", "softmax")
"""Setting that checkpoints of earlier versions don't contain, and the value that they were trained with."""
_TRAINING_ONLY: Final = ("freeze_vision", "freeze_text", "gradient_checkpointing", "init_from", "train_projection")


class RunConfig(SaveConfigCallback):
    """Stores the complete configuration of a run: as config.yaml in its folder, in W&B, and in every checkpoint.

    Passwords in URLs are hidden in all of them.
    """

    _folder: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stores the configuration, once."""
        self._folder = run_folder(trainer)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes config.yaml, and sends the configuration to W&B."""
        if self._folder is not None:
            write_text_atomically(self._folder / self.config_filename, self._text)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(yaml.safe_load(self._text), allow_val_change=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration to a checkpoint."""
        checkpoint[CONFIG_IN_CHECKPOINT] = self._text

    @cached_property
    def _text(self) -> str:
        return without_passwords(settings_text(self.parser, self.config))


def report_differences(trained: str, current: str) -> list[str]:
    """Prints each model setting that differs from the one the checkpoint was trained with.

    Pixel statistics are omitted: the configurations may leave them to the weights, so that only the values can be
    compared (see `clip_differences`).

    Args:
        trained: Configuration of the training as YAML, possibly with names of an earlier version.
        current: Configuration of this run as YAML.

    Returns:
        The sentences on settings that affect scores.
    """
    before, now = flatten(with_new_names(parsed_config(trained))["model"]), flatten(yaml.safe_load(current)["model"])
    for settings in (before, now):
        settings.setdefault(*_IMPLICIT)
    scores = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) == now.get(key) or _PIXEL_STATISTICS in key.split("."):
            continue
        sentence = f"model.{key} is {now.get(key)} in this run; the checkpoint was trained with {before.get(key)}"
        rank_zero_info(sentence)
        if key.startswith(_SCORING) and key.rpartition(".")[2] not in _TRAINING_ONLY:
            scores.append(sentence)
    return scores
