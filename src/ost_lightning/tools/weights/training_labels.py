"""The label space of a training."""

from pathlib import Path
from typing import TYPE_CHECKING

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    from ost_lightning.text import LabelSpace


def training_labels(checkpoint: Path) -> "LabelSpace":
    """Returns the label space of the training set of a checkpoint that `ost fit` wrote.

    Raises:
        UserError: If the checkpoint doesn't say what it was trained on, or its data or classes don't exist any more.
    """
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    from ost_lightning.datamodules import VideoDataModule
    from ost_lightning.models.checkpoints.initial_weights import read_checkpoint
    from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT
    from ost_lightning.renamed_settings import with_new_names

    config = yaml.safe_load(read_checkpoint(checkpoint).get(CONFIG_IN_CHECKPOINT, ""))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    try:
        if not config:
            raise UserError("There are no settings in the checkpoint.")
        settings = parser.instantiate(parser.parse_object({"data": with_new_names(config)["data"]}))
        labels: LabelSpace = settings["data"].training_videos().labels
    except (UserError, ArgumentError) as error:
        raise UserError(
            f"The classes that {checkpoint} was trained with can't be read ({error}) Give --labels or --classes."
        ) from error
    return labels
