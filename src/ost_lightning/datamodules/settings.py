"""How videos become clips, and how clips are loaded: what the YAML of every data module shares."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.video.decoding.scaling import ResizeFilter

Framing = Literal["crop", "squash"]


@dataclass(frozen=True, slots=True)
class ClipGeometry:
    """How a frame becomes a square.

    Attributes:
        crop_size: Side of the square, in pixels.
        short_side: Shorter side of the frame that crops refer to, in pixels.
        framing: `crop` cuts squares out of the frame, `squash` scales the whole frame to the square.
        resize: Interpolation of the resizing.
    """

    crop_size: int
    short_side: int
    framing: Framing
    resize: ResizeFilter


@dataclass(frozen=True)
class ClipSettings:
    """How a video becomes a clip. Sizes, framing and interpolation follow the checkpoint unless they are set.

    Attributes:
        frames: Number of frames of a clip, T.
        short_side: Shorter side of the frames that crops refer to, in pixels; for a checkpoint of 224 pixels 256.
        crop_size: Side of the square in pixels, which is the checkpoint's image size.
        framing: `crop` cuts squares out of the frames, `squash` scales whole frames to the square.
        views: Number of views in time per test video.
        crops: Number of squares per test view: 1 (center) or 3.
        view_frames: Frames of the test views: `spread` evenly over each segment, the same for every call; or `random`,
            as the released code draws them when there are several views, so that scores depend on the seed.
        flip: Probability of mirroring in training; None is 0.5, or 0 where left and right are part of a label.
        color_jitter: Probability of color jitter in training.
        grayscale: Probability of dropping the colors in training.
        sample_aspect: Whether to resample non-square pixels to square ones, as a player does; decord and what is read
            with it sees them as stored.
        resize: Interpolation of the resizing: `bicubic` as CLIP does, `bilinear` as the released code does.
        rand_augment: Number of RandAugment's operations per clip and their strength (0 to 30) in training; None for no
            RandAugment.
        jitter_each_frame: Draw the color jitter anew for every frame, so that training clips flicker, as in the
            released code; otherwise all frames of a clip change alike.

    Raises:
        UserError: If a number is outside its range.
    """

    frames: int = 32
    short_side: int | None = None
    crop_size: int | None = None
    framing: Framing | None = None
    views: int = 1
    crops: Literal[1, 3] = 1
    view_frames: Literal["spread", "random"] = "spread"
    flip: float | None = None
    color_jitter: float = 0.8
    grayscale: float = 0.2
    sample_aspect: bool = True
    resize: Literal["bicubic", "bilinear"] | None = None
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

    def following(self, preprocessing: Preprocessing) -> Self:
        """These settings, with what is not set as a checkpoint expects it.

        Args:
            preprocessing: Preprocessing of the checkpoint.

        Raises:
            UserError: If the crop size is set to another one than the checkpoint's.
        """
        size = preprocessing.image_size
        if self.crop_size not in (None, size):
            raise UserError(
                f"clips.crop_size is {self.crop_size}, but the checkpoint reads {size} x {size} pixels: leave it out, "
                "together with clips.short_side, and both follow the checkpoint."
            )
        squashes = preprocessing.resize == "squash"
        return replace(
            self,
            crop_size=size,
            # CLIP's evaluation on videos: 256 for 224
            short_side=self.short_side or (size if squashes else round(size * 256 / 224)),
            framing=self.framing or ("squash" if squashes else "crop"),
            resize=self.resize or preprocessing.filter,
        )

    def geometry(self) -> ClipGeometry:
        """Sizes, framing and interpolation, once all of them are known.

        A short side is the size of frames before they are cropped: with one, `crop` need not be said.

        Raises:
            UserError: If a size is not known, or crops would show a small part of the frames only.
        """
        if self.crop_size is None or (self.short_side is None and self.framing != "squash"):
            name = "crop_size" if self.crop_size is None else "short_side"
            raise UserError(
                f"clips.{name} is not set, and follows from the checkpoint, which the data module doesn't know: set "
                "it, or call the data module's `configure_for(video_clip.preprocessing)` first, as the `ost` command "
                "does."
            )
        self.check_crop()
        short_side = self.short_side or self.crop_size
        return ClipGeometry(self.crop_size, short_side, self.framing or "crop", self.resize or "bicubic")

    def check_crop(self) -> None:
        """Checks that crops fit into the frames and show at least half of their shorter side, if both sizes are known.

        Raises:
            UserError: If they don't.
        """
        size, short_side = self.crop_size, self.short_side
        if size is None or short_side is None or self.framing == "squash":
            return
        advice = f"leave clips.short_side out, or set it to about {round(size * 256 / 224)}."
        if short_side < size:
            raise UserError(
                f"clips.short_side is {short_side}, too small for a crop of {size} (clips.crop_size): {advice}"
            )
        if size < short_side / 2:
            raise UserError(
                f"clips.crop_size is {size} with frames of clips.short_side {short_side}, so that a crop shows "
                f"{100 * size / short_side:.0f} % of their height: {advice}"
            )

    def settled(self) -> Self:
        """These settings with nothing left to be decided; see `geometry`."""
        return replace(self, **asdict(self.geometry()))


@dataclass(frozen=True)
class LoadingSettings:
    """How clips are loaded.

    Attributes:
        global_batch_size: Number of videos per optimizer step, over all devices and accumulation steps.
        max_videos_per_device: Number of videos that fit into one device's memory in training; the rest is accumulated.
            None for no limit.
        evaluation_batch_size: Number of videos that one device takes at a time in evaluation.
        workers: Number of loading processes per device.
        start_method: Start method of the loading processes; None for the platform's default.
        read_timeout: Seconds after which reading one video is given up, and it counts as unreadable.
        seed: Seed for order and augmentation; None follows `seed_everything`.
        max_replacements: Number of other videos of the class that are tried in place of an unreadable one in training.
        max_undecodable: Number of unreadable videos beyond which training stops.
        on_decode_error: Policy of an evaluation: `stop`, or `count` an unreadable video as wrong and report it.
        embedding_cache_gigabytes: Size of the disk cache of frame embeddings that test and prediction read and fill, so
            that the same weights see no video twice; 0 for no cache. It lies in `$OST_CACHE`.
        on_missing: Policy for listed videos that are not there: `stop` before anything begins, or `skip` these.

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
    """Compares settings with their ranges; those that are None are still open."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not holds(value):
            raise UserError(f"{group}.{name} is {value}: expected {expected}.")
