"""Data modules for your own videos: in folders, lists and tables."""

from ost_lightning.datamodules.own.video_folder import VideoFolder
from ost_lightning.datamodules.own.video_lists import VideoList, VideoLists
from ost_lightning.datamodules.own.video_table import VideoTable

__all__ = ["VideoFolder", "VideoList", "VideoLists", "VideoTable"]
