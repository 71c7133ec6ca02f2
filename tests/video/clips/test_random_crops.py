import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop as Reference

from ost_lightning.errors import UserError
from ost_lightning.video.clips.random_crops import RandomResizedCrop, training_crop


@settings(max_examples=50)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(20, 400),
    width=st.integers(20, 400),
    area=st.sampled_from([(0.08, 1.0), (0.4, 1.0), (0.9, 1.0)]),
)
def test_random_resized_crops_are_those_of_torchvision(
    seed: int, height: int, width: int, area: tuple[float, float]
) -> None:
    ratio = (3 / 4, 4 / 3)
    torch.manual_seed(seed)
    expected = Reference.get_params(torch.zeros(3, height, width), list(area), list(ratio))
    drawn = RandomResizedCrop(area, ratio).draw(height, width, torch.Generator().manual_seed(seed))
    assert (drawn.top, drawn.left, drawn.height, drawn.width) == tuple(expected)


def test_shapes_of_random_resized_crops_are_in_range() -> None:
    generator, crop = torch.Generator().manual_seed(0), RandomResizedCrop((0.4, 0.6))
    for _ in range(200):
        box = crop.draw(200, 240, generator)
        assert 0.39 < box.height * box.width / (200 * 240) < 0.61
        assert 0.74 < box.width / box.height < 1.35
    # no shape fits into a strip: the largest central one that has an allowed aspect ratio
    assert tuple(crop.draw(10, 1000, generator)) == (0, 493, 10, math.floor(10 * 4 / 3 + 0.5))


def test_a_center_crop_is_that_of_evaluation() -> None:
    crop = training_crop("center", 48)
    assert crop is not None
    assert tuple(crop.draw(54, 72, torch.Generator())) == (3, 12, 48, 48)


@pytest.mark.parametrize("area", [(0.0, 1.0), (0.5, 0.4), (0.5, 1.1)])
def test_impossible_areas_are_rejected(area: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"clips\.crop_area is .* more than 0 and at most 1"):
        training_crop("random_resized", 48, area)


def test_an_area_without_its_crop_is_rejected() -> None:
    with pytest.raises(UserError, match=r"set clips\.training_crop to random_resized"):
        training_crop(None, 48, (0.4, 1.0))
