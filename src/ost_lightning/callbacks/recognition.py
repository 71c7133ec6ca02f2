"""Objects of a run that callbacks work on: the recognition task, the data module, the run's folder."""

import copy
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.matching import PlanMatcher
from ost_lightning.tasks import RecognitionTask


def recognition_task(callback: Callback, module: LightningModule) -> RecognitionTask:
    """The module of a run, cast to RecognitionTask.

    Raises:
        UserError: If it is another module.
    """
    if not isinstance(module, RecognitionTask):
        raise UserError(f"{type(callback).__name__} works on recognition tasks, not on {type(module).__name__}.")
    return module


def recognition_data(callback: Callback, trainer: Trainer) -> VideoDataModule:
    """The data module of a run.

    Raises:
        UserError: If it is not a VideoDataModule.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, VideoDataModule):
        raise UserError(f"{type(callback).__name__} works on video data modules, not on {type(data).__name__}.")
    return data


def plan_matcher(task: RecognitionTask) -> PlanMatcher | None:
    """A copy of the task's matcher, if it has a plan of this encoder's frames and descriptors.

    Being a copy, it leaves the task's count of unsolved problems alone.
    """
    matcher = task.matcher
    if not isinstance(matcher, PlanMatcher) or task.video_clip.adapt_matcher(matcher) is not matcher:
        return None
    return copy.deepcopy(matcher)


def run_folder(trainer: Trainer) -> Path | None:
    """The run's folder; None in a rehearsal (`fast_dev_run`), which writes nothing.

    All processes have to call it, because they agree on the folder.
    """
    folder = trainer.log_dir
    return None if trainer.fast_dev_run else Path(folder or ".")  # type: ignore[attr-defined] # set at run time
