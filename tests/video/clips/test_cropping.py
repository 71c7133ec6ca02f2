import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ost_lightning.video import Box, CropSpec
from ost_lightning.video.clips.cropping import crop_frames
from ost_lightning.video.decoding.scaling import ResizeFilter


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
@pytest.mark.parametrize("flip", [False, True])
def test_crops_are_those_of_torchvision(resize: ResizeFilter, flip: bool) -> None:
    frames = torch.randint(0, 256, (2, 3, 40, 53), dtype=torch.uint8)
    boxes = (Box(3, 5, 30, 21), Box(0, 0, 40, 53), Box(4, 9, 24, 24))
    crops = crop_frames(frames, CropSpec(boxes, 24, flip), resize)
    assert crops.shape == (3, 2, 3, 24, 24)
    mode = InterpolationMode(resize)
    for found, box in zip(crops, boxes, strict=True):
        expected = F.resized_crop(frames, *box, [24, 24], interpolation=mode, antialias=True)
        assert torch.equal(found, expected.flip(-1) if flip else expected)
