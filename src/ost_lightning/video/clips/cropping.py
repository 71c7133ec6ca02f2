"""Crops of frames that have been decoded as a whole."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.video.decoding.frame_source import CropSpec
from ost_lightning.video.decoding.scaling import ResizeFilter


def crop_frames(frames: Tensor, crops: CropSpec, resize: ResizeFilter) -> Tensor:
    """Crops whole frames as `FrameSource.read_crops` crops those that it decodes.

    Args:
        frames: uint8 (T, 3, H, W).
        crops: C crops.
        resize: Interpolation for resizing a crop to its square.

    Returns:
        uint8 (C, T, 3, S, S).
    """
    parts = []
    for box in crops.boxes:
        part = frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
        if part.shape[-2:] != (crops.side, crops.side):
            part = F.interpolate(part, (crops.side, crops.side), mode=resize, antialias=True)
        parts.append(part.flip(-1) if crops.flip else part)
    return torch.stack(parts)
