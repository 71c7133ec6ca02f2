"""Published data sets, read as their publishers ship them."""

from ost_lightning.datamodules.published.activitynet import ActivityNet
from ost_lightning.datamodules.published.base import EvaluationSplit, ListFiles, PublishedDataModule
from ost_lightning.datamodules.published.hmdb51 import HMDB51
from ost_lightning.datamodules.published.kinetics import Kinetics400, Kinetics600
from ost_lightning.datamodules.published.something_something import SomethingSomethingV2
from ost_lightning.datamodules.published.splits import SplitDataModule
from ost_lightning.datamodules.published.ucf101 import UCF101

__all__ = [
    "HMDB51",
    "UCF101",
    "ActivityNet",
    "EvaluationSplit",
    "Kinetics400",
    "Kinetics600",
    "ListFiles",
    "PublishedDataModule",
    "SomethingSomethingV2",
    "SplitDataModule",
]
