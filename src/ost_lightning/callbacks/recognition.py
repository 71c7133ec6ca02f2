"""What callbacks work on: a recognition task, the videos that it is run on, and the run's folder."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.tasks import RecognitionTask


def recognition_task(callback: Callback, module: LightningModule) -> RecognitionTask:
    """The module that a callback is given, as what it is.

    Raises:
        UserError: If it is something else.
    """
    if not isinstance(module, RecognitionTask):
        raise UserError(f"{type(callback).__name__} works on recognition tasks, not on {type(module).__name__}.")
    return module


def recognition_data(callback: Callback, trainer: Trainer) -> VideoDataModule:
    """The data module of a run.

    Raises:
        UserError: If it is none of videos.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, VideoDataModule):
        raise UserError(f"{type(callback).__name__} works on video data modules, not on {type(data).__name__}.")
    return data


def run_folder(trainer: Trainer) -> Path | None:
    """Where a run writes; nowhere if it is a rehearsal (`fast_dev_run`).

    All processes have to ask, for they agree on it.
    """
    folder = trainer.log_dir
    return None if trainer.fast_dev_run else Path(folder or ".")  # type: ignore[attr-defined] # set at run time
