"""Your own videos: in folders, on lists, in tables."""

from ost_lightning.datamodules.own.video_folder import VideoFolder
from ost_lightning.datamodules.own.video_lists import VideoList, VideoLists
from ost_lightning.datamodules.own.video_table import VideoTable

__all__ = ["VideoFolder", "VideoList", "VideoLists", "VideoTable"]
