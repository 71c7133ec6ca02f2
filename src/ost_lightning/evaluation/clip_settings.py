"""How a video becomes a clip, for training, evaluation and people alike."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.video import EvaluationClips, EvaluationTransform, FrameSampler, ReadSettings, VideoRecord
from ost_lightning.video.clips import Framing, check_crop_size
from ost_lightning.video.decoding.scaling import ResizeFilter
from ost_lightning.video.decoding.timeout import READ_TIMEOUT


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
        check_ranges(
            "clips", self, lambda value: value >= 1, "at least 1", ("frames", "short_side", "crop_size", "views")
        )
        check_ranges(
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
                f"together with clips.short_side, or set them to {size} and {preprocessing.default_short_side}."
            )
        return replace(
            self,
            crop_size=size,
            short_side=self.short_side or preprocessing.default_short_side,
            framing=self.framing or ("squash" if preprocessing.resize == "squash" else "crop"),
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
        if self.crop_size is not None and self.short_side is not None:
            check_crop_size(self.crop_size, self.short_side, self.framing or "crop")

    def settled(self) -> Self:
        """These settings with nothing left to be decided; see `geometry`."""
        return replace(self, **asdict(self.geometry()))


def evaluation_clips(
    records: Sequence[VideoRecord],
    clips: ClipSettings,
    *,
    read_timeout: float | None = READ_TIMEOUT,
    view_seed: int | None = None,
) -> EvaluationClips:
    """Clips of videos as they are evaluated: fixed frames, fixed crops.

    Args:
        records: Videos.
        clips: How a video becomes a clip.
        read_timeout: Seconds after which reading a video is given up; None for no limit.
        view_seed: Seed for the frames of several views, where the settings ask for random ones.
    """
    geometry = clips.geometry()
    return EvaluationClips(
        records,
        sampler=FrameSampler(clips.frames, clips.views),
        transform=EvaluationTransform(geometry.crop_size, clips.crops, geometry.framing),
        short_side=geometry.short_side,
        reading=ReadSettings(clips.sample_aspect, read_timeout, geometry.resize),
        view_seed=view_seed if clips.view_frames == "random" and clips.views > 1 else None,
    )


def check_ranges(
    group: str, settings: Any, holds: Callable[[float], bool], expected: str, names: tuple[str, ...]
) -> None:
    """Compares settings with their range; those that are None are still open.

    Args:
        group: Name of the settings' group in YAML.
        settings: Object with the settings as attributes.
        holds: Whether a value is in the range.
        expected: Range in words, for the message.
        names: Settings that have this range.

    Raises:
        UserError: Naming the first setting that is outside.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not holds(value):
            raise UserError(f"{group}.{name} is {value}: expected {expected}.")
