"""From a file to a clip tensor: annotation lists, sampling arithmetic, the PyAV reader, transforms, the data set."""

from ost_lightning.video.annotations import UNLABELLED, AnnotationError, VideoRecord, read_records
from ost_lightning.video.dataset import (
    Clip,
    ClipBatch,
    EvaluationClips,
    ReadFailure,
    Reading,
    TrainingClips,
    collate_clips,
)
from ost_lightning.video.frame_source import FrameSource, Squares
from ost_lightning.video.reader import VideoReader, VideoReadError, open_video, read_frames
from ost_lightning.video.sampling import EvaluationSampler, FrameSampler, SampleKey, TrainingSampler
from ost_lightning.video.scaling import Box
from ost_lightning.video.sources import ShardMember, VideoAddress, VideoRoot
from ost_lightning.video.transforms import EvaluationTransform, MultiScaleCrop, TrainingTransform

__all__ = [
    "UNLABELLED",
    "AnnotationError",
    "Box",
    "Clip",
    "ClipBatch",
    "EvaluationClips",
    "EvaluationSampler",
    "EvaluationTransform",
    "FrameSampler",
    "FrameSource",
    "MultiScaleCrop",
    "ReadFailure",
    "Reading",
    "SampleKey",
    "ShardMember",
    "Squares",
    "TrainingClips",
    "TrainingSampler",
    "TrainingTransform",
    "VideoAddress",
    "VideoReadError",
    "VideoReader",
    "VideoRecord",
    "VideoRoot",
    "collate_clips",
    "open_video",
    "read_frames",
    "read_records",
]
