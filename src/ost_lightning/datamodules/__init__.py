"""LightningDataModules that stream clips from video files."""

from ost_lightning.datamodules.base import REAL_VIDEOS, VideoDataModule
from ost_lightning.datamodules.batching import BatchPlan, plan_batches
from ost_lightning.datamodules.combined import CombinedDataModule
from ost_lightning.datamodules.decode_report import DecodeReport, UndecodableVideoWarning
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.own import VideoFolder, VideoList, VideoLists, VideoTable
from ost_lightning.datamodules.published import (
    HMDB51,
    UCF101,
    ActivityNet,
    EvaluationSplit,
    Kinetics400,
    Kinetics600,
    ListFiles,
    PublishedDataModule,
    SomethingSomethingV2,
    SplitDataModule,
)
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.datamodules.toyworld import ToyWorld
from ost_lightning.datamodules.trainer_checks import check_batch_size
from ost_lightning.evaluation import ClipSettings

__all__ = [
    "HMDB51",
    "REAL_VIDEOS",
    "UCF101",
    "ActivityNet",
    "BatchPlan",
    "ClipSettings",
    "CombinedDataModule",
    "DecodeReport",
    "EvaluationSplit",
    "Kinetics400",
    "Kinetics600",
    "LabeledVideos",
    "ListFiles",
    "LoadingSettings",
    "PublishedDataModule",
    "SomethingSomethingV2",
    "SplitDataModule",
    "ToyWorld",
    "UndecodableVideoWarning",
    "VideoDataModule",
    "VideoFolder",
    "VideoList",
    "VideoLists",
    "VideoTable",
    "check_batch_size",
    "plan_batches",
]
