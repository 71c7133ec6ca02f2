"""Clips: which frames of a video make a clip, how they are cropped and augmented, and batches of them."""

from ost_lightning.video.clips.dataset import (
    Clip,
    ClipBatch,
    EvaluationClips,
    FixedCrops,
    RandomCrops,
    ReadFailure,
    TrainingClips,
    collate_clips,
)
from ost_lightning.video.clips.frame_pictures import FramePictures, middle_picture, read_pictures
from ost_lightning.video.clips.listed_frames import listed_frames
from ost_lightning.video.clips.rand_augment import RandAugmentSetting, check_rand_augment
from ost_lightning.video.clips.random_crops import (
    CropOffsets,
    MultiScaleCrop,
    RandomResizedCrop,
    TrainingCrop,
    training_crop,
)
from ost_lightning.video.clips.reading import ReadSettings, read_views
from ost_lightning.video.clips.sampling import (
    EvaluationSampler,
    FrameSampler,
    SampleKey,
    TrainingSampler,
    check_stride,
)
from ost_lightning.video.clips.transforms import EvaluationTransform, Framing, TrainingTransform, check_crop_size

__all__ = [
    "Clip",
    "ClipBatch",
    "CropOffsets",
    "EvaluationClips",
    "EvaluationSampler",
    "EvaluationTransform",
    "FixedCrops",
    "FramePictures",
    "FrameSampler",
    "Framing",
    "MultiScaleCrop",
    "RandAugmentSetting",
    "RandomCrops",
    "RandomResizedCrop",
    "ReadFailure",
    "ReadSettings",
    "SampleKey",
    "TrainingClips",
    "TrainingCrop",
    "TrainingSampler",
    "TrainingTransform",
    "check_crop_size",
    "check_rand_augment",
    "check_stride",
    "collate_clips",
    "listed_frames",
    "middle_picture",
    "read_pictures",
    "read_views",
    "training_crop",
]
