"""On what: LightningDataModules that stream clips."""

from ost_lightning.datamodules.activitynet import ActivityNet
from ost_lightning.datamodules.base import REAL_VIDEOS, VideoDataModule
from ost_lightning.datamodules.batching import BatchPlan, plan_batches
from ost_lightning.datamodules.combined import CombinedDataModule
from ost_lightning.datamodules.decode_report import DecodeReport, UndecodableVideoWarning
from ost_lightning.datamodules.hmdb51 import HMDB51
from ost_lightning.datamodules.kinetics import Kinetics400, Kinetics600
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.published import EvaluationSet, ListFiles, PublishedDataModule
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.datamodules.something_something import SomethingSomethingV2
from ost_lightning.datamodules.toyworld import ToyWorld
from ost_lightning.datamodules.ucf101 import UCF101
from ost_lightning.datamodules.video_folder import VideoFolder
from ost_lightning.datamodules.video_lists import VideoList, VideoLists
from ost_lightning.datamodules.video_table import VideoTable

__all__ = [
    "HMDB51",
    "REAL_VIDEOS",
    "UCF101",
    "ActivityNet",
    "BatchPlan",
    "ClipSettings",
    "CombinedDataModule",
    "DecodeReport",
    "EvaluationSet",
    "Kinetics400",
    "Kinetics600",
    "LabeledVideos",
    "ListFiles",
    "LoadingSettings",
    "PublishedDataModule",
    "SomethingSomethingV2",
    "ToyWorld",
    "UndecodableVideoWarning",
    "VideoDataModule",
    "VideoFolder",
    "VideoList",
    "VideoLists",
    "VideoTable",
    "plan_batches",
]
