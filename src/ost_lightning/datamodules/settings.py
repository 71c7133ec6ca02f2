"""How videos become clips, and how clips are loaded: what the YAML of every data module shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ost_lightning.errors import UserError


@dataclass(frozen=True)
class ClipSettings:
    """How a video becomes a clip.

    Attributes:
        frames: T.
        short_side: Pixels of the shorter side that crops refer to.
        crop_size: Pixels of the square; the model's image size.
        views: Views in time of one test video.
        crops: Squares of one test view: 1 (center) or 3.
        view_frames: Frames of the test views: `spread` evenly over each segment, the same for every call; or `random`,
            as the released code draws them when there are several views, so that scores depend on the seed.
        flip: Probability of mirroring in training; None is 0.5, or 0 where left and right are part of a label.
        color_jitter: Probability of color jitter in training.
        grayscale: Probability of dropping the colors in training.
        sample_aspect: Whether pixels that are not square are made so, as a player does; decord and what is read with it
            see them as stored.
        resize: How pictures are resized: `bicubic` as CLIP does, `bilinear` as the released code does.
        rand_augment: RandAugment's operations a clip and their strength (0 to 30) in training; none if not given.
        jitter_each_frame: Draw the color jitter anew for every frame, so that training clips flicker, as in the
            released code; otherwise all frames of a clip change alike.

    Raises:
        UserError: If a number is outside its range.
    """

    frames: int = 32
    short_side: int = 256
    crop_size: int = 224
    views: int = 1
    crops: Literal[1, 3] = 1
    view_frames: Literal["spread", "random"] = "spread"
    flip: float | None = None
    color_jitter: float = 0.8
    grayscale: float = 0.2
    sample_aspect: bool = True
    resize: Literal["bicubic", "bilinear"] = "bicubic"
    rand_augment: tuple[int, int] | None = None
    jitter_each_frame: bool = False

    def __post_init__(self) -> None:
        _check("clips", self, lambda value: value >= 1, "at least 1", ("frames", "short_side", "crop_size", "views"))
        _check(
            "clips",
            self,
            lambda value: 0 <= value <= 1,
            "a probability, 0 to 1",
            ("flip", "color_jitter", "grayscale"),
        )


@dataclass(frozen=True)
class LoadingSettings:
    """How clips are loaded.

    Attributes:
        global_batch_size: Videos of one optimizer step, over all devices and accumulation steps.
        max_videos_per_device: Videos that fit into one device's memory in training; the rest is accumulated. None: all.
        evaluation_batch_size: Videos that one device takes at a time in evaluation.
        workers: Loading processes a device.
        start_method: How they start; None is the platform's way.
        read_timeout: Seconds after which reading one video is given up, and it counts as unreadable.
        seed: Of order and augmentation; None follows `seed_everything`.
        max_replacements: Other videos of the class that are tried in place of one that can't be read (training).
        max_undecodable: Unreadable videos after which training stops.
        on_decode_error: In evaluation: `stop`, or `count` an unreadable video as wrong and report it.
        embedding_cache_gigabytes: Size of the disk cache of frame embeddings that test and prediction read and fill, so
            that the same weights see no video twice; 0 is no cache. It lies in `$OST_CACHE`.
        on_missing: If listed videos are not there: `stop` before anything begins, or `skip` these.

    Raises:
        UserError: If a number is outside its range.
    """

    global_batch_size: int = 256
    max_videos_per_device: int | None = None
    evaluation_batch_size: int = 8
    workers: int = 4
    start_method: Literal["fork", "spawn", "forkserver"] | None = None
    read_timeout: float = 120.0
    seed: int | None = None
    max_replacements: int = 10
    max_undecodable: int = 50
    on_decode_error: Literal["stop", "count"] = "stop"
    embedding_cache_gigabytes: float = 0.0
    on_missing: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        sizes = ("global_batch_size", "max_videos_per_device", "evaluation_batch_size")
        _check("loading", self, lambda value: value >= 1, "at least 1", sizes)
        _check("loading", self, lambda value: value > 0, "more than 0 seconds", ("read_timeout",))
        counts = ("workers", "max_replacements", "max_undecodable", "embedding_cache_gigabytes")
        _check("loading", self, lambda value: value >= 0, "0 or more", counts)


def _check(group: str, settings: Any, holds: Callable[[float], bool], expected: str, names: tuple[str, ...]) -> None:
    """Compares settings with what they can be; those that are None are left to be chosen."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not holds(value):
            raise UserError(f"{group}.{name} is {value}: expected {expected}.")
