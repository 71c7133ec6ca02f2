"""What callbacks work on: the recognition task, its data module, and the run's folder."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.tasks import RecognitionTask


def recognition_task(callback: Callback, module: LightningModule) -> RecognitionTask:
    """The module of a run, as a recognition task.

    Raises:
        UserError: If it is another kind of module.
    """
    if not isinstance(module, RecognitionTask):
        raise UserError(f"{type(callback).__name__} works on recognition tasks, not on {type(module).__name__}.")
    return module


def recognition_data(callback: Callback, trainer: Trainer) -> VideoDataModule:
    """The data module of a run.

    Raises:
        UserError: If it is another kind of data module.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, VideoDataModule):
        raise UserError(f"{type(callback).__name__} works on video data modules, not on {type(data).__name__}.")
    return data


def run_folder(trainer: Trainer) -> Path | None:
    """Folder of a run; None for a rehearsal (`fast_dev_run`).

    All processes have to call this, because they agree on the folder.
    """
    folder = trainer.log_dir
    return None if trainer.fast_dev_run else Path(folder or ".")  # type: ignore[attr-defined] # set at run time
