"""The complete configuration of a run: stored with the run, and compared with the configuration in a checkpoint."""

from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.callbacks.recognition import run_folder
from ost_lightning.callbacks.resuming import CONFIG_IN_CHECKPOINT
from ost_lightning.dotted_names import flatten
from ost_lightning.escaping import without_passwords
from ost_lightning.files import write_text_atomically
from ost_lightning.models.checkpoints.run_folders import parsed_config
from ost_lightning.renamed_settings import with_new_names


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
            write_text_atomically(self._folder / self.config_filename, self._text())
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(yaml.safe_load(self._text()), allow_val_change=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration to a checkpoint."""
        checkpoint[CONFIG_IN_CHECKPOINT] = self._text()

    def _text(self) -> str:
        return without_passwords(self.parser.dump(self.config, skip_none=False))


def report_differences(trained: str, current: str) -> None:
    """Prints each model setting that differs from the one the checkpoint was trained with.

    Args:
        trained: Configuration of the training as YAML, possibly with names of an earlier version.
        current: Configuration of this run as YAML.
    """
    before, now = flatten(with_new_names(parsed_config(trained))["model"]), flatten(yaml.safe_load(current)["model"])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            rank_zero_info(
                f"model.{key} is {now.get(key)} in this run; the checkpoint was trained with {before.get(key)}"
            )
