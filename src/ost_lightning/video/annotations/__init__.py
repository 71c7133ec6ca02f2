"""Annotations: lists of videos with their labels, in the usual formats and as data sets publish them."""

from ost_lightning.video.annotations.any_list import ListedVideo, read_files, read_list, write_list
from ost_lightning.video.annotations.class_index import ClassFolders, ClassIndex, plain_name
from ost_lightning.video.annotations.few_shot import draw_shots
from ost_lightning.video.annotations.lists import read_records
from ost_lightning.video.annotations.published import (
    EmptySegmentWarning,
    Unit,
    check_ssv2_labels,
    read_activitynet,
    read_hmdb51,
    read_kinetics,
    read_ssv2,
    read_ucf101,
)
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, Span, VideoRecord
from ost_lightning.video.annotations.table_files import TABLE_SUFFIXES
from ost_lightning.video.annotations.tables import Columns, read_table, table_classes
from ost_lightning.video.annotations.video_ids import IdKind, id_hash, list_digest, video_id

__all__ = [
    "TABLE_SUFFIXES",
    "UNLABELED",
    "AnnotationError",
    "ClassFolders",
    "ClassIndex",
    "Columns",
    "EmptySegmentWarning",
    "IdKind",
    "ListedVideo",
    "Span",
    "Unit",
    "VideoRecord",
    "check_ssv2_labels",
    "draw_shots",
    "id_hash",
    "list_digest",
    "plain_name",
    "read_activitynet",
    "read_files",
    "read_hmdb51",
    "read_kinetics",
    "read_list",
    "read_records",
    "read_ssv2",
    "read_table",
    "read_ucf101",
    "table_classes",
    "video_id",
    "write_list",
]
