import pytest

from ost_lightning.datamodules import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, 0, "at least 1") for name in ("frames", "short_side", "crop_size", "views")),
        *((name, 1.5, "a probability, 0 to 1") for name in ("flip", "color_jitter", "grayscale")),
    ],
)
def test_clips_that_cannot_be_made(name: str, value: float, expected: str) -> None:
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
def test_loading_that_cannot_be_done(name: str, value: float, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^loading\.{name} is {value}: expected {expected}\.$"):
        LoadingSettings(**{name: value})


def test_the_ends_of_the_ranges() -> None:
    ClipSettings(frames=1, short_side=1, crop_size=1, flip=0.0, color_jitter=1.0)
    LoadingSettings(global_batch_size=1, max_videos_per_device=1, workers=0, max_replacements=0, max_undecodable=0)
