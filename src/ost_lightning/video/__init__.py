"""From a file to a clip tensor: annotation lists, sampling arithmetic, the PyAV reader, transforms, the data set."""

from ost_lightning.video.annotations import AnnotationError, VideoRecord, read_records
from ost_lightning.video.dataset import Clip, ClipBatch, EvaluationClips, ReadFailure, TrainingClips, collate_clips
from ost_lightning.video.reader import VideoReader, VideoReadError, read_frames
from ost_lightning.video.sampling import EvaluationSampler, FrameSampler, SampleKey, TrainingSampler
from ost_lightning.video.sources import ShardMember, VideoAddress, VideoRoot
from ost_lightning.video.transforms import EvaluationTransform, MultiScaleCrop, TrainingTransform

__all__ = [
    "AnnotationError",
    "Clip",
    "ClipBatch",
    "EvaluationClips",
    "EvaluationSampler",
    "EvaluationTransform",
    "FrameSampler",
    "MultiScaleCrop",
    "ReadFailure",
    "SampleKey",
    "ShardMember",
    "TrainingClips",
    "TrainingSampler",
    "TrainingTransform",
    "VideoAddress",
    "VideoReadError",
    "VideoReader",
    "VideoRecord",
    "VideoRoot",
    "collate_clips",
    "read_frames",
    "read_records",
]
