import torch

from ost_lightning.datamodules.batching import BatchPlan
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.loaders import LoaderFactory
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.datamodules.training_loader import TrainingPosition
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video import EvaluationTransform, TrainingClips, VideoRecord


def test_training_follows_the_settings_of_the_released_code() -> None:
    def training(**settings: object) -> TrainingClips:
        clips = ClipSettings(frames=2, crop_size=224, short_side=256, crops=3, **settings)
        loading = LoadingSettings(global_batch_size=1, workers=0)
        factory = LoaderFactory(clips, loading, seed=0, rank=0, devices=1, on_gpu=False)
        videos = LabeledVideos([VideoRecord("a.mp4", 0, "a")], LabelSpace.load("hmdb51"))
        return factory.training(videos, BatchPlan(1, 1, 1), TrainingPosition()).dataset

    released = training(keep_tail_frames=False, three_crop_scale="crop_size", crop_offsets="floor")
    assert (released.sampler.keep_tail_frames, released.transform.crop.offsets) == (False, "floor")
    plain = training()
    assert (plain.sampler.keep_tail_frames, plain.transform.crop.offsets) == (True, "round")
    assert released.short_side == plain.short_side == 256  # three crops are of tests only


def test_training_follows_the_settings_of_other_recipes() -> None:
    videos = LabeledVideos([VideoRecord("a.mp4", 0, "a")], LabelSpace.load("hmdb51"))

    def dataset(**settings: object) -> TrainingClips:
        clips = ClipSettings(frames=2, crop_size=48, short_side=54, **settings)
        loading = LoadingSettings(global_batch_size=1, workers=0)
        factory = LoaderFactory(clips, loading, seed=0, rank=0, devices=1, on_gpu=False)
        return factory.training(videos, BatchPlan(1, 1, 1), TrainingPosition()).dataset

    strided = dataset(stride=16, training_crop="random_resized", crop_area=(0.4, 1.0))
    assert (strided.sampler.stride, strided.transform.crop.area) == (16, (0.4, 1.0))
    assert dataset().sampler.stride is None
    assert dataset(stride=(1, 3)).sampler.stride == (1, 3)
    before = [dataset(rand_augment=(2, 9), rand_augment_before_crop=first).transform for first in (True, False)]
    assert [transform.changes_frames for transform in before] == [True, False]
    centered = dataset(training_crop="center").transform.crop_spec(54, 72, torch.Generator())
    assert centered.boxes == EvaluationTransform(48).crop_spec(54, 72).boxes
    # a crop that is set applies to squashed frames too
    whole = {crop: dataset(framing="squash", training_crop=crop).transform.crop for crop in (None, "random_resized")}
    assert whole[None] is None
    assert whole["random_resized"].area == (0.08, 1.0)
