"""Several data sets in one run."""

import inspect
from collections.abc import Mapping

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.vocabulary import EvaluationStage, Part


class CombinedDataModule(VideoDataModule):
    """Trains on one data set and evaluates on several, each with its own label space.

    It tests one checkpoint on HMDB51, UCF101 and Kinetics-600 in one run. How clips are made and loaded is set here,
    for all of them.

    Args:
        test: Data modules to test on.
        train: Data module to train on, and to validate on if `val` is not given.
        val: Data modules to validate on.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    def __init__(
        self,
        test: list[VideoDataModule] | None = None,
        train: VideoDataModule | None = None,
        val: list[VideoDataModule] | None = None,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.test, self.train = test or [], train
        self.val = val if val is not None else [train] if train is not None else []
        for data in (*self.test, *self.val, *([train] if train is not None else [])):
            _validate_no_own_settings(data)

    def prepare_data(self) -> None:
        """Prepares the data modules that the run will use, each once."""
        super().prepare_data()
        function = self.trainer.state.fn if self.trainer is not None else None
        parts: list[VideoDataModule] = []
        if function in (None, "fit") and self.train is not None:
            parts.append(self.train)
        if function in (None, "fit", "validate"):
            parts += self.val
        if function in (None, "test", "predict"):
            parts += self.test
        for data in dict.fromkeys(parts):  # a part may be trained and validated on
            data.prepare_data()

    def has_part(self, part: Part) -> bool:
        """Training is optional."""
        return part != "train" or self.train is not None

    def training_videos(self) -> LabeledVideos:
        """Training set of the training data module."""
        if self.train is None:
            raise UserError("There is nothing to train on: set the data's `train` to a data module.")
        return self.train.training_videos()

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Sets of all data modules; a repeated name gets the number of its data module in front."""
        sets: dict[str, LabeledVideos] = {}
        for place, data in enumerate(self.val if stage == "val" else self.test):
            for name, videos in data.evaluation_videos(stage).items():
                sets[f"{place}-{name}" if name in sets else name] = videos
        return sets


def _validate_no_own_settings(data: VideoDataModule) -> None:
    """Raises if a part's clips or loading are set, because they would be ignored."""
    # a constructor may leave them to those of its bases
    parameters: dict[str, inspect.Parameter] = {}
    for base in reversed(type(data).__mro__):
        if constructor := vars(base).get("__init__"):
            parameters |= inspect.signature(constructor).parameters
    for name in ("clips", "loading"):
        if getattr(data, name) != parameters[name].default:
            raise UserError(
                f"`{name}` is set for {type(data).__name__} inside CombinedDataModule, where it has no effect: set "
                f"the `{name}` of CombinedDataModule, which is for all of its data sets."
            )
