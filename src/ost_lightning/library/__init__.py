"""Libraries: frame embeddings of many videos on disk, which any label space can be compared with.

Written once, they answer every later question without opening a video again. The tables are Lance datasets with a
documented schema, so that any Arrow program can read them.
"""

from ost_lightning.library.indexing import IndexProgress, IndexSettings
from ost_lightning.library.library import Library
from ost_lightning.library.schema import SCHEMA_VERSION, Precision, error_schema, frame_schema, segment_schema
from ost_lightning.library.segments import (
    Failure,
    IndexedSource,
    MeanBatch,
    NewFrames,
    NewSegment,
    SegmentBatch,
    StoredSegment,
)
from ost_lightning.library.settings import SegmentSettings, TableSettings, table_digest
from ost_lightning.library.sources import VideoSource, record_sources, video_sources
from ost_lightning.library.table import SegmentTable

__all__ = [
    "SCHEMA_VERSION",
    "Failure",
    "IndexProgress",
    "IndexSettings",
    "IndexedSource",
    "Library",
    "MeanBatch",
    "NewFrames",
    "NewSegment",
    "Precision",
    "SegmentBatch",
    "SegmentSettings",
    "SegmentTable",
    "StoredSegment",
    "TableSettings",
    "VideoSource",
    "error_schema",
    "frame_schema",
    "record_sources",
    "segment_schema",
    "table_digest",
    "video_sources",
]
