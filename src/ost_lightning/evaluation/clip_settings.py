"""Settings that define how a video becomes a clip, in training, evaluation and recognition."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.video import EvaluationClips, EvaluationTransform, FrameSampler, ReadSettings, VideoRecord
from ost_lightning.video.clips import (
    CropOffsets,
    Framing,
    TrainingCrop,
    check_crop_size,
    check_rand_augment,
    check_stride,
    training_crop,
)
from ost_lightning.video.decoding.scaling import ResizeFilter
from ost_lightning.video.decoding.timeout import READ_TIMEOUT

_FRAMES: Final = 32
"""Frames per clip if neither the settings nor the weights say: the paper's larger setting."""
_LATER_SETTINGS: Final = frozenset({"stride", "training_crop", "crop_area", "rand_augment_before_crop"})
"""Settings that digests on disk are from before."""


@dataclass(frozen=True, slots=True)
class ClipGeometry:
    """Frames, sizes, framing and interpolation of clips, none of them unset.

    Attributes:
        frames: Number of frames per clip, T.
        crop_size: Side of the square, in pixels.
        short_side: Shorter side of the frame before cropping, in pixels.
        framing: Framing: `crop` crops squares from the frame, `squash` scales the full frame to the square.
        sample_aspect: Whether to resample non-square pixels to square ones.
        resize: Interpolation filter for resizing.
    """

    frames: int
    crop_size: int
    short_side: int
    framing: Framing
    sample_aspect: bool
    resize: ResizeFilter

    def in_preprocessing(self, preprocessing: Preprocessing) -> Preprocessing:
        """Returns a model's preprocessing with these settings, as a record of a training.

        Args:
            preprocessing: Preprocessing of the model that encodes the clips.
        """
        return replace(
            preprocessing,
            resize="squash" if self.framing == "squash" else "shortest_side",
            filter=self.resize,
            frames=self.frames,
            short_side=self.short_side,
            sample_aspect=self.sample_aspect,
        )


@dataclass(frozen=True)
class ClipSettings:
    """Settings that define how a video becomes a clip.

    Number of frames, sizes, framing and interpolation follow the checkpoint unless they are set.

    Attributes:
        frames: Number of frames per clip, T; None for the number that the weights were trained with, or 32 if their
            folder doesn't say.
        short_side: Shorter side of the frames before cropping, in pixels; None for the checkpoint's, which is 256 for
            an image size of 224.
        crop_size: Side of the square, in pixels; None for the checkpoint's image size.
        framing: Framing: `crop` crops squares from the frames, `squash` scales full frames to the square; None for the
            checkpoint's.
        views: Number of temporal views per test video.
        crops: Number of square crops per test view: 1 (center) or 3.
        three_crop_scale: Shorter side of the frames that three test crops are taken from: `short_side`, or `crop_size`
            as in the released code, so that the crops show the full height of a wide frame.
        crop_offsets: Rounding of the positions of crops: `round` to the nearest pixel, or `floor` as in the released
            code.
        view_frames: Choice of frames in the test views. `spread` takes evenly spaced frames of each segment, always
            the same. `random` draws them, as the released code does with several views, so that scores depend on the
            seed.
        stride: Distance between the frames of a clip, in frames: a clip is a window that starts at a random frame in
            training and is in the middle in evaluation; several views start at evenly spaced frames. With a list, such
            as [1, 2, 3, 3, 3, 4], one of its distances is drawn for each clip, and evaluation takes the median. None
            for clips over the whole video.
        keep_tail_frames: Whether frames are drawn from the whole video, in training and for `view_frames: random`. If
            not, segments have floor(n / T) of n frames, as in the released code, which never shows the last frames.
        flip: Probability of a horizontal flip in training; None for 0.5, or for 0 if labels distinguish left and right.
        color_jitter: Probability of color jitter in training.
        grayscale: Probability of conversion to grayscale in training.
        sample_aspect: Whether to resample non-square pixels to square ones, as video players do; decord keeps them as
            stored. None for the choice of the weights' training, or true if their folder doesn't say.
        resize: Interpolation filter for resizing: `bicubic` as in CLIP, `bilinear` as in the released code; None for
            the checkpoint's.
        training_crop: Crop of training clips: `random_resized`, or `center` as in evaluation; None for multi-scale
            crops, or for the whole frame with `framing: squash`.
        crop_area: Smallest and largest share of the frame's area in random resized crops; None for 0.08 to 1.
        rand_augment: Number of torchvision's RandAugment operations per clip and their magnitude (0 to 30) in training,
            or a configuration of timm's, such as `rand-m7-n4-mstd0.5-inc1`; None for no RandAugment.
        rand_augment_before_crop: Whether RandAugment changes the whole frames, from which crops are then taken, as most
            released recipes do; otherwise it changes crops. Frames are then changed while they are read, which takes
            more time on the CPU.
        jitter_each_frame: Whether to draw the color jitter separately for every frame, as the released code does, which
            makes training clips flicker; otherwise all frames of a clip get the same jitter.

    Raises:
        UserError: If a number is outside its range.
    """

    frames: int | None = None
    short_side: int | None = None
    crop_size: int | None = None
    framing: Framing | None = None
    views: int = 1
    crops: Literal[1, 3] = 1
    three_crop_scale: Literal["short_side", "crop_size"] = "short_side"
    crop_offsets: CropOffsets = "round"
    view_frames: Literal["spread", "random"] = "spread"
    keep_tail_frames: bool = True
    flip: float | None = None
    color_jitter: float = 0.8
    grayscale: float = 0.2
    sample_aspect: bool | None = None
    resize: Literal["bicubic", "bilinear"] | None = None
    rand_augment: tuple[int, int] | str | None = None
    jitter_each_frame: bool = False
    stride: int | tuple[int, ...] | None = None
    training_crop: TrainingCrop | None = None
    crop_area: tuple[float, float] | None = None
    rand_augment_before_crop: bool = False

    def __post_init__(self) -> None:
        counts = ("frames", "short_side", "crop_size", "views")
        check_ranges("clips", self, lambda value: value >= 1, "at least 1", counts)
        check_ranges(
            "clips",
            self,
            lambda value: 0 <= value <= 1,
            "a probability, 0 to 1",
            ("flip", "color_jitter", "grayscale"),
        )
        if self.stride is not None:
            check_stride(self.stride, "clips.stride")
        if self.rand_augment is not None:
            check_rand_augment(self.rand_augment)
        training_crop(self.training_crop, self.crop_size or 1, self.crop_area)  # checks them

    def with_defaults_from(self, preprocessing: Preprocessing) -> Self:
        """Returns these settings, with unset ones filled in from a checkpoint's preprocessing.

        Args:
            preprocessing: Preprocessing of the checkpoint.

        Raises:
            UserError: If the crop size is set, but differs from the checkpoint's image size.
        """
        size = preprocessing.image_size
        if self.crop_size not in (None, size):
            raise UserError(
                f"clips.crop_size is {self.crop_size}, but the checkpoint reads {size} x {size} pixels: unset it "
                f"and clips.short_side, or set them to {size} and {preprocessing.default_short_side}."
            )
        return replace(
            self,
            frames=self.frames or preprocessing.frames or _FRAMES,
            sample_aspect=next(
                value for value in (self.sample_aspect, preprocessing.sample_aspect, True) if value is not None
            ),
            crop_size=size,
            short_side=self.short_side or preprocessing.default_short_side,
            framing=self.framing or ("squash" if preprocessing.resize == "squash" else "crop"),
            resize=self.resize or preprocessing.filter,
        )

    def geometry(self) -> ClipGeometry:
        """Returns frames, sizes, framing and interpolation, once they are known.

        Framing defaults to `crop`, because a short side only makes sense with cropping.

        Raises:
            UserError: If a size is unknown, or crops would cover only a small part of the frames.
        """
        if self.crop_size is None or (self.short_side is None and self.framing != "squash"):
            name = "crop_size" if self.crop_size is None else "short_side"
            raise UserError(
                f"clips.{name} is not set, and the data module doesn't know the checkpoint that it follows from: set "
                "it, or first call the data module's `configure_for(video_clip.preprocessing)`, as the `ost` command "
                "does."
            )
        self.check_crop()
        return ClipGeometry(
            frames=self.frames or _FRAMES,
            crop_size=self.crop_size,
            short_side=self.short_side or self.crop_size,
            framing=self.framing or "crop",
            sample_aspect=True if self.sample_aspect is None else self.sample_aspect,
            resize=self.resize or "bicubic",
        )

    def known(self) -> dict[str, Any]:
        """Returns the settings as digests have them: those of later versions only where they are set."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _LATER_SETTINGS or value != getattr(type(self), name)
        }

    def check_crop(self) -> None:
        """Checks that crops fit into the frames and cover at least half of their shorter side, if both are known.

        Raises:
            UserError: If crops are too large or too small.
        """
        if self.crop_size is not None and self.short_side is not None:
            check_crop_size(self.crop_size, self.short_side, self.framing or "crop")

    def resolved(self) -> Self:
        """Returns these settings with frames, sizes, framing and interpolation set; see `geometry`."""
        return replace(self, **asdict(self.geometry()))


def evaluation_clips(
    records: Sequence[VideoRecord],
    clips: ClipSettings,
    *,
    read_timeout: float | None = READ_TIMEOUT,
    view_seed: int | None = None,
    with_times: bool = False,
) -> EvaluationClips:
    """Returns the clips of videos for evaluation, with deterministic frames and crops.

    Args:
        records: Videos.
        clips: Settings that define how a video becomes a clip.
        read_timeout: Timeout for reading a video, in seconds; None for no limit.
        view_seed: Seed for drawing the frames of several views, if `view_frames` is `random`.
        with_times: Whether clips have the times of their frames.
    """
    geometry = clips.geometry()
    full_height = clips.crops == 3 and clips.three_crop_scale == "crop_size"
    return EvaluationClips(
        records,
        sampler=FrameSampler(geometry.frames, clips.views, clips.keep_tail_frames, clips.stride),
        transform=EvaluationTransform(geometry.crop_size, clips.crops, geometry.framing, clips.crop_offsets),
        short_side=geometry.crop_size if full_height else geometry.short_side,
        reading=ReadSettings(geometry.sample_aspect, read_timeout, geometry.resize),
        view_seed=view_seed if clips.view_frames == "random" and clips.views > 1 else None,
        with_times=with_times,
    )


def check_ranges(
    group: str, settings: Any, holds: Callable[[float], bool], expected: str, names: tuple[str, ...]
) -> None:
    """Checks that settings are within their range, except those that are None.

    Args:
        group: Name of the settings' group in YAML.
        settings: Object with the settings as attributes.
        holds: Predicate that is true for values in the range.
        expected: Range in words, for the message.
        names: Names of the settings that have this range.

    Raises:
        UserError: If a setting is out of range; it names the first one.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not holds(value):
            raise UserError(f"{group}.{name} is {value}: expected {expected}.")
