"""The preprocessing of pixels that a checkpoint expects."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any, Final, Literal, Self

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.pretrained.hub import local_file_of, local_files_only
from ost_lightning.models.encoders.pretrained.loading import source_of

Triple = tuple[float, float, float]
Resize = Literal["shortest_side", "squash"]
Filter = Literal["bicubic", "bilinear"]
StatisticsName = Literal["clip", "imagenet", "half", "none"]

_SHORT_SIDE_RATIO: Final = 256 / 224
"""Ratio of short side to image size in the usual evaluation of CLIP on videos."""
_CLIP_SETTINGS: Final = ("frames", "short_side", "sample_aspect")
_IMAGE_FILE: Final = "preprocessor_config.json"
_CLIP_FILE: Final = "clip_settings.json"
"""File for the settings that Hugging Face's preprocessor_config.json, which is for images, can't hold."""
_EXPECTED: Final = (
    'Expected settings such as {"frames": 8, "short_side": 256, "sample_aspect": true}. Repair the file; or remove it, '
    "and set the data's clips as in the training."
)
_PILLOW_FILTERS: Final[dict[int, Filter]] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Mean and standard deviation for normalizing pixels.

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
    "none": PixelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing that turns frames into the square images that a vision tower reads.

    Attributes:
        image_size: Side of the square, in pixels.
        mean: Mean of red, green and blue, 0 to 1.
        std: Standard deviation of red, green and blue, 0 to 1.
        resize: Resizing: `shortest_side` keeps the aspect ratio and crops; `squash` scales the full frame to the
            square.
        filter: Interpolation filter for resizing.
        frames: Number of frames per clip that the weights were trained with; None if unknown.
        short_side: Shorter side of frames before cropping, in pixels; None for the usual ratio to the image size.
        sample_aspect: Whether non-square pixels are resampled to square ones; None if unknown.
    """

    image_size: int
    mean: Triple
    std: Triple
    resize: Resize = "shortest_side"
    filter: Filter = "bicubic"
    frames: int | None = None
    short_side: int | None = None
    sample_aspect: bool | None = None

    @property
    def default_short_side(self) -> int:
        """Length that a frame's shorter side is scaled to before cropping, in pixels; the image size if squashed."""
        if self.resize == "squash":
            return self.image_size
        return self.short_side or round(self.image_size * _SHORT_SIDE_RATIO)

    @property
    def knows_clips(self) -> bool:
        """Whether settings of clips are known, as after a training on videos."""
        return any(getattr(self, name) is not None for name in _CLIP_SETTINGS)

    @property
    def after_training(self) -> Self | None:
        """This, if it was written after a training on videos; None for that of an image model."""
        return self if self.knows_clips else None

    @property
    def statistics_name(self) -> StatisticsName | None:
        """Name of the mean and standard deviation; None if they are not in `NAMED_STATISTICS`."""
        for name, known in NAMED_STATISTICS.items():
            pairs = zip((*self.mean, *self.std), (*known.mean, *known.std), strict=True)
            if all(isclose(value, other, abs_tol=1e-6) for value, other in pairs):
                return name
        return None

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json and, if the settings of clips are known, clip_settings.json."""
        _write_json(folder / _IMAGE_FILE, self.as_image_processor())
        self.save_clip_settings(folder)

    def save_clip_settings(self, folder: Path) -> None:
        """Writes clip_settings.json, if the settings of clips are known."""
        if self.knows_clips:
            _write_json(folder / _CLIP_FILE, {name: getattr(self, name) for name in _CLIP_SETTINGS})

    def as_image_processor(self) -> dict[str, Any]:
        """Returns the content of preprocessor_config.json for this preprocessing."""
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
    """Reads the checkpoint's own preprocessor_config.json, and clip_settings.json if a folder has one.

    Args:
        pretrained: Hub id, folder, or name of a tiny model.
        default: Preprocessing of the architecture, for settings that the file doesn't specify, or if it is missing.
            The image size is always taken from here, because the vision tower reads no other size.

    Raises:
        CheckpointError: If the file's mean or standard deviation is not three numbers, or clip_settings.json is
            damaged.
    """
    return replace(_image_preprocessing(pretrained, default), **read_clip_settings(Path(source_of(pretrained))))


def expected_preprocessing(pretrained: str) -> Preprocessing | None:
    """Reads a model's preprocessing from its files on this machine, without importing its architecture.

    It is what the encoder expects, as far as files tell: `DualEncoder.load_preprocessing` also knows what its kind of
    encoder does without a file, and checks more.

    Args:
        pretrained: Hub id, folder, or name of a tiny model.

    Returns:
        Preprocessing, CLIP's own if a CLIP has no file; None if the model is not on this machine, has a damaged file or
        no usual vision tower, or its files don't tell.
    """
    config, image = (local_file_of(pretrained, name) for name in ("config.json", _IMAGE_FILE))
    if config is None:
        return None
    known = NAMED_STATISTICS["clip"]
    try:
        model = json.loads(config.read_text(encoding="utf-8"))
        expected = Preprocessing(int(model["vision_config"]["image_size"]), known.mean, known.std)
        if "num_patches" in model["vision_config"] or (image is None and model["model_type"] != "clip"):
            return None
        if image is not None:
            expected = _preprocessing_in(json.loads(image.read_text(encoding="utf-8")), expected, pretrained)
        return replace(expected, **read_clip_settings(config.parent))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, CheckpointError):
        return None  # whoever loads the model tells what is wrong


def image_processor_settings(pretrained: str) -> dict[str, Any]:
    """Returns the content of a checkpoint's preprocessor_config.json; empty if there is none.

    Raises:
        CheckpointError: If a folder has the file, but it is damaged.
    """
    from transformers import ImageProcessingMixin  # imports torchvision

    try:
        found, _ = ImageProcessingMixin.get_image_processor_dict(
            source_of(pretrained), local_files_only=local_files_only(pretrained)
        )
    except OSError as error:
        file = Path(source_of(pretrained)) / _IMAGE_FILE
        if file.is_file():
            raise CheckpointError(
                f"{file} can't be read ({str(error).strip().splitlines()[0]}). Repair the file; or remove it, to use "
                "the defaults of this kind of encoder."
            ) from error
        return {}  # a folder that an earlier version of this package wrote, or that contains only the model
    settings: dict[str, Any] = found
    return settings


def _image_preprocessing(pretrained: str, default: Preprocessing) -> Preprocessing:
    found = image_processor_settings(pretrained)
    return _preprocessing_in(found, default, pretrained) if found else default


def _preprocessing_in(found: Mapping[str, Any], default: Preprocessing, pretrained: str) -> Preprocessing:
    """Returns the preprocessing in the content of preprocessor_config.json."""
    statistics = PixelStatistics(default.mean, default.std)
    if not found.get("do_normalize", True):
        statistics = NAMED_STATISTICS["none"]
    elif "image_mean" in found and "image_std" in found:
        statistics = PixelStatistics(*(_triple(found[key], key, pretrained) for key in ("image_mean", "image_std")))
    return Preprocessing(
        default.image_size,
        statistics.mean,
        statistics.std,
        _resize(found, default.resize),
        _PILLOW_FILTERS.get(found.get("resample", 0), default.filter),
    )


def read_clip_settings(folder: Path) -> dict[str, Any]:
    """Reads clip_settings.json as arguments of `Preprocessing`; empty if there is none.

    Raises:
        CheckpointError: If the file is damaged.
    """
    file = folder / _CLIP_FILE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        settings = {name: found[name] for name in _CLIP_SETTINGS}
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{file} can't be read ({error}). {_EXPECTED}") from error
    numbers = [number for number in (settings["frames"], settings["short_side"]) if number is not None]
    if not all(type(number) is int and number > 0 for number in numbers) or not (
        isinstance(settings["sample_aspect"], bool | None)
    ):
        raise CheckpointError(f"{file} contains {settings}. {_EXPECTED}")
    return settings


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


def _triple(value: Any, key: str, pretrained: str) -> Triple:
    try:
        red, green, blue = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"preprocessor_config.json of {pretrained}: {key} is {value!r}, expected three numbers. Repair the file, "
            "or set video_clip.pixel_statistics and remove these keys from it."
        ) from error
    return red, green, blue


def _resize(found: Mapping[str, Any], default: Resize) -> Resize:
    if found.get("do_center_crop"):
        return "shortest_side"
    size = found.get("size")
    if isinstance(size, Mapping):
        return "squash" if {"height", "width"} <= size.keys() else "shortest_side"
    return default
