import pytest

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings, evaluation_clips

RELEASED = {"keep_tail_frames": False, "three_crop_scale": "crop_size", "crop_offsets": "floor"}
SIZES = {"crop_size": 224, "short_side": 256}


def test_three_crops_of_the_released_code_show_the_full_height() -> None:
    three = evaluation_clips([], ClipSettings(crops=3, **SIZES, **RELEASED))
    assert (three.short_side, three.transform.offsets) == (224, "floor")
    assert evaluation_clips([], ClipSettings(crops=1, **SIZES, **RELEASED)).short_side == 256
    assert evaluation_clips([], ClipSettings(crops=3, **SIZES)).short_side == 256


def test_random_views_leave_out_the_same_frames_as_training() -> None:
    assert evaluation_clips([], ClipSettings(views=2, **SIZES, **RELEASED)).sampler.keep_tail_frames is False
    assert evaluation_clips([], ClipSettings(views=2, **SIZES)).sampler.keep_tail_frames is True


def test_digests_from_before_a_setting_existed_remain_valid() -> None:
    before = {"stride", "training_crop", "crop_area", "rand_augment_before_crop"}
    assert not before & ClipSettings().known().keys()
    assert ClipSettings(stride=16).known()["stride"] == 16
    assert ClipSettings(rand_augment_before_crop=True).known()["rand_augment_before_crop"] is True


@pytest.mark.parametrize(("stride", "found"), [(0, "0"), ((2, 0), r"\[2, 0\]"), ((), r"\[\]")])
def test_strides_below_one_are_refused(stride: int | tuple[int, ...], found: str) -> None:
    with pytest.raises(UserError, match=rf"clips\.stride is {found}: it must be at least 1, or a list of such numbers"):
        ClipSettings(stride=stride)
    assert evaluation_clips([], ClipSettings(stride=(1, 3), **SIZES)).sampler.stride == (1, 3)
