"""The parts of a run that callbacks use: recognition task, data module and run folder."""

import copy
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.errors import UserError
from ost_lightning.matching import PlanMatcher
from ost_lightning.tasks import RecognitionTask


def recognition_task(callback: Callback, module: LightningModule) -> RecognitionTask:
    """Returns the module of a run, cast to RecognitionTask.

    Raises:
        UserError: If the module isn't a RecognitionTask.
    """
    if not isinstance(module, RecognitionTask):
        raise UserError(f"{type(callback).__name__} works on recognition tasks, not on {type(module).__name__}.")
    return module


def recognition_data(callback: Callback, trainer: Trainer) -> VideoDataModule:
    """Returns the data module of a run.

    Raises:
        UserError: If the run has another kind of data module.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, VideoDataModule):
        raise UserError(f"{type(callback).__name__} works on video data modules, not on {type(data).__name__}.")
    return data


def plan_matcher(task: RecognitionTask) -> PlanMatcher | None:
    """Returns a copy of the task's matcher if it computes transport plans for this encoder; None otherwise.

    A copy, because the matcher counts the problems that didn't converge, and the task's count must not change.
    """
    matcher = task.matcher
    if not isinstance(matcher, PlanMatcher) or task.video_clip.adapt_matcher(matcher) is not matcher:
        return None
    return copy.deepcopy(matcher)


def run_folder(trainer: Trainer) -> Path | None:
    """Returns the run's folder; None with `fast_dev_run`, which writes nothing.

    Every process must call this function, because all processes have to agree on the folder.
    """
    folder = trainer.log_dir
    return None if trainer.fast_dev_run else Path(folder or ".")  # type: ignore[attr-defined] # set at run time
