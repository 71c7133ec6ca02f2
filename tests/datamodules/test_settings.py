import pytest

from ost_lightning.datamodules import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipGeometry
from ost_lightning.models.encoders import Preprocessing

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, 0, "at least 1") for name in ("frames", "short_side", "crop_size", "views")),
        *((name, 1.5, "a probability, 0 to 1") for name in ("flip", "color_jitter", "grayscale")),
    ],
)
def test_clip_settings_outside_their_ranges(name: str, value: float, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^clips\.{name} is {value}: expected {expected}\.$"):
        ClipSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, 0, "at least 1") for name in ("global_batch_size", "max_videos_per_device", "evaluation_batch_size")),
        ("read_timeout", 0.0, "more than 0 seconds"),
        *((name, -1, "0 or more") for name in ("workers", "max_replacements", "max_undecodable")),
        ("embedding_cache_gigabytes", -0.5, "0 or more"),
    ],
)
def test_loading_settings_outside_their_ranges(name: str, value: float, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^loading\.{name} is {value}: expected {expected}\.$"):
        LoadingSettings(**{name: value})


def test_the_ends_of_the_ranges() -> None:
    ClipSettings(frames=1, short_side=1, crop_size=1, flip=0.0, color_jitter=1.0)
    LoadingSettings(global_batch_size=1, max_videos_per_device=1, workers=0, max_replacements=0, max_undecodable=0)


@pytest.mark.parametrize(
    ("image_size", "resize", "expected"),
    [
        (224, "shortest_side", (224, 256, "crop")),
        (336, "shortest_side", (336, 384, "crop")),
        (48, "shortest_side", (48, 55, "crop")),
        (256, "squash", (256, 256, "squash")),
    ],
)
def test_unset_values_follow_the_checkpoint(image_size: int, resize: str, expected: tuple[int, int, str]) -> None:
    found = ClipSettings().with_defaults_from(Preprocessing(image_size, HALF, HALF, resize, "bilinear"))
    assert (found.crop_size, found.short_side, found.framing, found.resize) == (*expected, "bilinear")
    assert (found.frames, found.sample_aspect) == (32, True)
    assert found.resolved() == found


def test_unset_values_follow_the_training_of_the_weights() -> None:
    trained = Preprocessing(224, HALF, HALF, filter="bilinear", frames=16, short_side=224, sample_aspect=False)
    found = ClipSettings().with_defaults_from(trained)
    assert found.geometry() == ClipGeometry(16, 224, 224, "crop", False, "bilinear")
    assert found.geometry().in_preprocessing(Preprocessing(224, HALF, HALF)) == trained
    chosen = ClipSettings(frames=8, short_side=256, sample_aspect=True, resize="bicubic").with_defaults_from(trained)
    assert chosen.geometry() == ClipGeometry(8, 224, 256, "crop", True, "bicubic")


def test_set_values_are_kept() -> None:
    clips = ClipSettings(8, crop_size=48, short_side=54, framing="crop", resize="bicubic", sample_aspect=False)
    assert clips.with_defaults_from(Preprocessing(48, HALF, HALF, "squash", "bilinear")) == clips
    with pytest.raises(UserError, match=r"clips\.crop_size is 48, but the checkpoint reads 224 x 224 pixels: unset"):
        clips.with_defaults_from(Preprocessing(224, HALF, HALF))


def test_sizes_have_to_be_known() -> None:
    for settings, missing in (
        (ClipSettings(), "crop_size"),
        (ClipSettings(short_side=256), "crop_size"),
        (ClipSettings(crop_size=224), "short_side"),
        (ClipSettings(framing="squash"), "crop_size"),
    ):
        with pytest.raises(UserError, match=rf"clips\.{missing} is not set, .*configure_for\(video_clip"):
            settings.geometry()
    assert ClipSettings(crop_size=48, short_side=54).geometry().framing == "crop"
    assert ClipSettings(crop_size=48, framing="squash").geometry().short_side == 48


def test_crops_show_at_least_half_of_the_frames() -> None:
    ClipSettings(crop_size=48, short_side=96).geometry()
    ClipSettings(crop_size=48, short_side=48).geometry()
    for short_side in (97, 256, 47):
        with pytest.raises(UserError, match=r"48.*(?s:.)short_side.* 55"):
            ClipSettings(crop_size=48, short_side=short_side).geometry()
    # a squashed frame is shown completely
    ClipSettings(crop_size=48, short_side=256, framing="squash").geometry()
