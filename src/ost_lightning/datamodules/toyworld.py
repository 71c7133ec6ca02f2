"""Rendered world, whose videos are rendered on first use."""

from collections.abc import Mapping, Sequence

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.dataset import RenderedPart, render_part
from ost_lightning.toyworld.difficulty import Difficulty
from ost_lightning.toyworld.grammar import Group
from ost_lightning.video import read_records
from ost_lightning.vocabulary import EvaluationStage


class ToyWorld(VideoDataModule):
    """Trains on seen classes of one draw, validates on other videos of these, tests on unseen ones.

    Args:
        draw: Draw of classes, 0 to 4.
        train_clips: Number of training videos per class.
        test_clips: Number of test videos per class.
        test_sets: Groups of classes to test on.
        difficulty: Setting of the world; in the hard one, classes are more alike, clips show more foreign states, and
            descriptors have a language model's flaws.
        clean_descriptors: Whether descriptors are without these flaws, as those of the standard setting always are.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> data = ToyWorld(draw=0, train_clips=1, test_clips=1)
        >>> data.world
        'rendered world'
    """

    world = "rendered world"

    def __init__(
        self,
        draw: int = 0,
        train_clips: int = 8,
        test_clips: int = 10,
        test_sets: Sequence[Group] = ("unseen",),  # read only
        difficulty: Difficulty = "standard",
        clean_descriptors: bool = False,
        clips: ClipSettings = ClipSettings(frames=8, short_side=54, crop_size=48),  # frozen
        loading: LoadingSettings = LoadingSettings(global_batch_size=32),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        if difficulty != "standard":
            self.world = f"{type(self).world}, {difficulty}"
        self._clean = clean_descriptors
        self._train = RenderedPart(draw, "seen", "train", train_clips, difficulty)
        self._val = {"seen": RenderedPart(draw, "seen", "test", test_clips, difficulty)}
        self._test = {group: RenderedPart(draw, group, "test", test_clips, difficulty) for group in test_sets}

    def prepare_data(self) -> None:
        """Renders the missing videos that the run needs, with a progress bar."""
        super().prepare_data()
        function = self.trainer.state.fn if self.trainer is not None else None
        parts: list[RenderedPart] = []
        if function in (None, "fit"):
            parts.append(self._train)
        if function in (None, "fit", "validate"):
            parts += self._val.values()
        if function in (None, "test", "predict"):
            parts += self._test.values()
        for part in parts:
            render_part(part)

    def training_videos(self) -> LabeledVideos:
        """Returns videos of the seen classes."""
        return self._read(self._train)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns seen classes for validation, and the chosen groups for test and prediction."""
        return {name: self._read(part) for name, part in (self._val if stage == "val" else self._test).items()}

    def _read(self, part: RenderedPart) -> LabeledVideos:
        labels = LabelSpace.load(part.label_folder(self._clean))
        return locate(read_records(part.list_file, labels.names), str(part.folder), labels)
