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
    before = {"stride", "training_crop", "crop_area"}
    assert not before & ClipSettings().known().keys()
    assert ClipSettings(stride=16).known()["stride"] == 16
