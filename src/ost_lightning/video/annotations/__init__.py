"""Annotation files: `path label` lists, tables, and what the publishers of the data sets ship."""

from ost_lightning.video.annotations.activitynet import EmptySegmentWarning, read_activitynet
from ost_lightning.video.annotations.hmdb51 import read_hmdb51
from ost_lightning.video.annotations.kinetics import read_kinetics
from ost_lightning.video.annotations.lists import read_records
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, ClassIndex, Span, VideoRecord
from ost_lightning.video.annotations.ssv2 import check_ssv2_labels, read_ssv2
from ost_lightning.video.annotations.tables import Columns, read_table, table_classes
from ost_lightning.video.annotations.ucf101 import read_ucf101

__all__ = [
    "UNLABELED",
    "AnnotationError",
    "ClassIndex",
    "Columns",
    "EmptySegmentWarning",
    "Span",
    "VideoRecord",
    "check_ssv2_labels",
    "read_activitynet",
    "read_hmdb51",
    "read_kinetics",
    "read_records",
    "read_ssv2",
    "read_table",
    "read_ucf101",
    "table_classes",
]
