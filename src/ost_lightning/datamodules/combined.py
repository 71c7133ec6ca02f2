"""Data module that combines several data sets in one run."""

import inspect
from collections.abc import Mapping

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.vocabulary import EvaluationStage, Part


class CombinedDataModule(VideoDataModule):
    """Trains on one data set and evaluates on several, each with its own label space.

    For example, one run tests a checkpoint on HMDB51, UCF101 and Kinetics-600. The clip and loading settings given here
    apply to all data sets.

    Args:
        test: Data module to test on, or several.
        train: Data module to train on, and to validate on if `val` is not given.
        val: Data module to validate on, or several.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> from ost_lightning.datamodules import HMDB51, UCF101
        >>> data = CombinedDataModule(test=[HMDB51("videos/hmdb51"), UCF101("videos/ucf101")])
        >>> data.has_part("train")
        False
    """

    def __init__(
        self,
        test: VideoDataModule | list[VideoDataModule] | None = None,
        train: VideoDataModule | None = None,
        val: VideoDataModule | list[VideoDataModule] | None = None,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.test, self.train = _several(test), train
        self.val = _several(train if val is None else val)
        for data in (*self.test, *self.val, *([train] if train is not None else [])):
            _validate_default_settings(data)

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
        for data in dict.fromkeys(parts):  # the same data module may serve training and validation
            data.prepare_data()

    @property
    def needs_preparation(self) -> bool:
        """Whether one of the data modules has to prepare its videos."""
        return any(data.needs_preparation for data in (*self.test, *self.val, *([self.train] if self.train else [])))

    def has_part(self, part: Part) -> bool:
        """Returns whether a part has videos; only training is optional."""
        return part != "train" or self.train is not None

    def training_videos(self) -> LabeledVideos:
        """Returns the training set of the training data module."""
        if self.train is None:
            raise UserError("There is nothing to train on: set the data's `train` to a data module.")
        return self.train.training_videos()

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the sets of all data modules; a repeated name is prefixed with the index of its data module."""
        sets: dict[str, LabeledVideos] = {}
        for index, data in enumerate(self.val if stage == "val" else self.test):
            for name, videos in data.evaluation_videos(stage).items():
                sets[f"{index}-{name}" if name in sets else name] = videos
        return sets


def _several(data: VideoDataModule | list[VideoDataModule] | None) -> list[VideoDataModule]:
    return [] if data is None else data if isinstance(data, list) else [data]


def _validate_default_settings(data: VideoDataModule) -> None:
    """Raises if a data module has its own clip or loading settings, because they would be ignored."""
    # a constructor may pass them on to a base class as **kwargs
    parameters: dict[str, inspect.Parameter] = {}
    for base in reversed(type(data).__mro__):
        if constructor := vars(base).get("__init__"):
            parameters |= inspect.signature(constructor).parameters
    for name in ("clips", "loading"):
        if getattr(data, name) != parameters[name].default:
            raise UserError(
                f"`{name}` is set for {type(data).__name__} inside CombinedDataModule, where it has no effect: set "
                f"the `{name}` of CombinedDataModule, which applies to all of its data sets."
            )
