"""The only place that knows both the task and the data of an experiment."""

from dataclasses import asdict
from typing import Any

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.tasks import RecognitionTask


def connect(task: RecognitionTask, data: VideoDataModule, settings: Any) -> None:
    """Lets the clips follow the checkpoint, and training steps the task.

    Args:
        task: Task of the run.
        data: Its data module.
        settings: Settings of the data in the run's configuration, which then hold what has followed.

    Raises:
        UserError: If clip settings contradict the checkpoint.
    """
    data.configure_for(task.video_clip.preprocessing, whole_steps=task.takes_whole_steps)
    for name, value in asdict(data.clips.geometry()).items():
        settings["init_args"]["clips"][name] = value
