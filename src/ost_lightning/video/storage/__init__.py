"""Storage: addresses of videos in files, folders and tar shards, and at URLs."""

from ost_lightning.video.storage.addresses import (
    ShardMember,
    VideoAddress,
    VideoRoot,
    is_remote,
    size_and_mtime,
    transfer_errors,
    video_address,
)
from ost_lightning.video.storage.references import (
    EMBED_LIMIT,
    address_text,
    reference,
    unplayable,
    video_for_page,
    video_url,
)
from ost_lightning.video.storage.shard_index import MemberLocation, ShardIndex
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES

__all__ = [
    "EMBED_LIMIT",
    "VIDEO_SUFFIXES",
    "MemberLocation",
    "ShardIndex",
    "ShardMember",
    "VideoAddress",
    "VideoRoot",
    "address_text",
    "is_remote",
    "reference",
    "size_and_mtime",
    "transfer_errors",
    "unplayable",
    "video_address",
    "video_for_page",
    "video_url",
]
