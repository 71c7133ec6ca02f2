"""Annotation files as the publishers of data sets ship them."""

from ost_lightning.video.annotations.published.activitynet import EmptySegmentWarning, Unit, read_activitynet
from ost_lightning.video.annotations.published.hmdb51 import read_hmdb51
from ost_lightning.video.annotations.published.kinetics import read_kinetics
from ost_lightning.video.annotations.published.ssv2 import check_ssv2_labels, read_ssv2
from ost_lightning.video.annotations.published.ucf101 import read_ucf101

__all__ = [
    "EmptySegmentWarning",
    "Unit",
    "check_ssv2_labels",
    "read_activitynet",
    "read_hmdb51",
    "read_kinetics",
    "read_ssv2",
    "read_ucf101",
]
