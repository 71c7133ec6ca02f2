"""Storage: addresses of videos in files, folders and tar shards, and at URLs."""

from ost_lightning.video.storage.addresses import (
    TRANSFER_ERRORS,
    ShardMember,
    VideoAddress,
    VideoRoot,
    is_remote,
    size_and_mtime,
    video_address,
)
from ost_lightning.video.storage.shard_index import MemberLocation, ShardIndex
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES

__all__ = [
    "TRANSFER_ERRORS",
    "VIDEO_SUFFIXES",
    "MemberLocation",
    "ShardIndex",
    "ShardMember",
    "VideoAddress",
    "VideoRoot",
    "is_remote",
    "size_and_mtime",
    "video_address",
]
