"""Trained networks beside a frozen encoder, and the `VideoCLIP` that has one."""

from ost_lightning.models.side_networks.base import SideNetwork
from ost_lightning.models.side_networks.dist_network import DiSTNetwork
from ost_lightning.models.side_networks.side_tuned_video_clip import SideTunedVideoCLIP

__all__ = ["DiSTNetwork", "SideNetwork", "SideTunedVideoCLIP"]
