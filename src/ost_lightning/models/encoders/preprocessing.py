"""What a checkpoint expects of the pixels that it is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, Final, Literal

from transformers import ImageProcessingMixin

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models.encoders.loading import source_of

Triple = tuple[float, float, float]
Resize = Literal["shortest_side", "squash"]
Filter = Literal["bicubic", "bilinear"]
StatisticsName = Literal["clip", "imagenet", "half"]

_SCALE_OF_CROP: Final = 256 / 224
_SMALLEST_CROP: Final = 0.5
"""Share of the short side below which a crop shows a detail instead of the scene."""
_PILLOW_FILTERS: Final[dict[int, Filter]] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Mean and standard deviation that pixels are normalized with.

    Attributes:
        mean: Mean of red, green and blue, 0 to 1.
        std: Standard deviation of red, green and blue, 0 to 1.
    """

    mean: Triple
    std: Triple


NAMED_STATISTICS: Final[Mapping[StatisticsName, PixelStatistics]] = {
    "clip": PixelStatistics((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": PixelStatistics((123.675 / 255, 116.28 / 255, 103.53 / 255), (58.395 / 255, 57.12 / 255, 57.375 / 255)),
    "half": PixelStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How frames become the square pictures that a vision tower reads.

    Attributes:
        image_size: Side of the square, in pixels.
        mean: Mean of red, green and blue that is subtracted, 0 to 1.
        std: Standard deviation of red, green and blue that is divided by, 0 to 1.
        resize: `shortest_side` keeps the aspect ratio and crops; `squash` scales the whole frame to the square.
        filter: Interpolation of the resizing.
    """

    image_size: int
    mean: Triple
    std: Triple
    resize: Resize = "shortest_side"
    filter: Filter = "bicubic"

    @property
    def default_short_side(self) -> int:
        """Pixels that a frame's shorter side is scaled to before cropping; the square itself where all is squashed."""
        return self.image_size if self.resize == "squash" else round(self.image_size * _SCALE_OF_CROP)

    @property
    def statistics_name(self) -> StatisticsName | None:
        """Name of mean and standard deviation, if they are well-known ones."""
        for name, known in NAMED_STATISTICS.items():
            pairs = zip((*self.mean, *self.std), (*known.mean, *known.std), strict=True)
            if all(isclose(own, other, abs_tol=1e-6) for own, other in pairs):
                return name
        return None

    def check_crop(self, crop_size: int, short_side: int) -> None:
        """Makes sure that crops are what the model reads and show the scene, not a detail of it.

        Args:
            crop_size: Side of the square crop, in pixels.
            short_side: Pixels of the frame's shorter side that the crop is taken from.

        Raises:
            UserError: If they do not, naming the settings and fitting values.
        """
        if crop_size != self.image_size:
            raise UserError(
                f"clips.crop_size is {crop_size}, but the model reads {self.image_size} x {self.image_size} pixels: "
                f"set clips.crop_size to {self.image_size} and clips.short_side to {self.default_short_side}, or leave "
                "both unset."
            )
        if crop_size < _SMALLEST_CROP * short_side:
            raise UserError(
                f"Crops of {crop_size} pixels (clips.crop_size) out of frames whose short side has {short_side} "
                f"(clips.short_side) show the model {crop_size / short_side:.0%} of a frame's height: set "
                f"clips.short_side to {self.default_short_side}, or leave it unset."
            )

    def as_image_processor(self) -> dict[str, Any]:
        """The same as preprocessor_config.json has it."""
        square = {"height": self.image_size, "width": self.image_size}
        squashed = self.resize == "squash"
        return {
            "image_processor_type": "SiglipImageProcessor" if squashed else "CLIPImageProcessor",
            "do_resize": True,
            "size": square if squashed else {"shortest_edge": self.image_size},
            "resample": next(number for number, name in _PILLOW_FILTERS.items() if name == self.filter),
            **({} if squashed else {"do_center_crop": True, "crop_size": square}),
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }


def read_preprocessing(pretrained: str, default: Preprocessing) -> Preprocessing:
    """Preprocessing out of the checkpoint's own preprocessor_config.json.

    Args:
        pretrained: Hub id, folder or `tiny`.
        default: Preprocessing of the architecture, for what the file does not say or where there is none. The image
            size is always its: the vision tower reads no other.

    Raises:
        CheckpointError: If the file's mean or standard deviation is not three numbers.
    """
    try:
        found, _ = ImageProcessingMixin.get_image_processor_dict(source_of(pretrained))
    except OSError:  # a folder that this package wrote earlier, or that holds nothing but the model
        return default
    statistics = PixelStatistics(default.mean, default.std)
    if not found.get("do_normalize", True):
        statistics = PixelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    elif "image_mean" in found and "image_std" in found:
        statistics = PixelStatistics(*(_triple(found[key], key, pretrained) for key in ("image_mean", "image_std")))
    return Preprocessing(
        default.image_size,
        statistics.mean,
        statistics.std,
        _resize(found, default.resize),
        _PILLOW_FILTERS.get(found.get("resample", 0), default.filter),
    )


def _triple(value: Any, key: str, pretrained: str) -> Triple:
    try:
        red, green, blue = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"preprocessor_config.json of {pretrained}: {key} is {value!r}, but three numbers were expected. Set "
            "video_clip.pixel_statistics instead of using the file's, or repair the file."
        ) from error
    return red, green, blue


def _resize(found: Mapping[str, Any], default: Resize) -> Resize:
    if found.get("do_center_crop"):
        return "shortest_side"
    size = found.get("size")
    if isinstance(size, Mapping):
        return "squash" if {"height", "width"} <= size.keys() else "shortest_side"
    return default
