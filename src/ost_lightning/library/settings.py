"""Settings of a table: everything that its embeddings depend on besides the videos."""

import json
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Self

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings, check_ranges
from ost_lightning.files import write_text_atomically
from ost_lightning.library.schema import SCHEMA_VERSION, Precision, other_version
from ost_lightning.models import VideoCLIP, weights_digest
from ost_lightning.recognition.timelines import frame_digest

_INFORMATIVE: Final = frozenset({"weights", "suite_version"})
"""Settings that may differ between runs that write into the same table."""


@dataclass(frozen=True)
class SegmentSettings:
    """Settings of how videos are cut into segments.

    Attributes:
        lengths: Lengths of the segments of a long video in seconds.
        stride: Distance between the starts of its segments in seconds.
        rate: Number of frames per second of a long video that are embedded.
        longest_clip: Length in seconds up to which a video is one segment, read as `ost recognize` reads it.
        precision: Type of the stored embeddings: `float16` takes half the space of `float32`, and changes cosines by
            less than 0.001.

    Raises:
        UserError: If a value is out of range.
    """

    lengths: tuple[float, ...] = (4.0,)
    stride: float = 2.0
    rate: float = 4.0
    longest_clip: float = 15.0
    precision: Precision = "float16"

    def __post_init__(self) -> None:
        check_ranges("segments", self, lambda value: 0 < value < float("inf"), "a positive number", ("stride", "rate"))
        check_ranges("segments", self, lambda value: value >= 0, "0 or more", ("longest_clip",))
        if not self.lengths or not all(0 < length < float("inf") for length in self.lengths):
            raise UserError(f"segments.lengths are {self.lengths}: expected positive numbers of seconds.")
        if self.precision not in ("float16", "float32"):
            raise UserError(f"segments.precision is {self.precision!r}: expected float16 or float32.")


@dataclass(frozen=True)
class TableSettings:
    """Settings of one table.

    Attributes:
        digest: Digest of weights and clip settings, 16 hexadecimal digits; the name of the table.
        weights: Hub id or path of the weights.
        weights_digest: Digest of all parameters, 32 hexadecimal digits.
        frame_digest: Digest of what single frames depend on, as in `EmbeddedVideo`.
        encoder: Class of the encoder.
        temporal_head: Class of the temporal head; None without one.
        clips: Frames, sizes, framing and interpolation of clips, and rounding of the positions of crops.
        frames: Number of embeddings per segment, T.
        width: Number of dimensions of an embedding, d.
        segments: Settings of how videos are cut into segments.
        schema_version: Version of the schema.
        suite_version: Version of this package that made the table.
        cpu_precision: Precision in which a CPU embedded the frames; fp32 for any other device.
    """

    digest: str
    weights: str
    weights_digest: str
    frame_digest: str
    encoder: str
    temporal_head: str | None
    clips: dict[str, Any]
    frames: int
    width: int
    segments: SegmentSettings
    schema_version: int
    suite_version: str
    cpu_precision: Literal["fp32", "bf16"] = "fp32"

    @classmethod
    def of(
        cls,
        video_clip: VideoCLIP,
        clips: ClipSettings,
        frames: int,
        segments: SegmentSettings = SegmentSettings(),  # frozen
        name: str | None = None,
    ) -> Self:
        """Returns the settings of a table for a model.

        Args:
            video_clip: Encoder with its weights.
            clips: Settings that define how a video becomes a clip; one view with a center crop is stored.
            frames: Number of embeddings that the encoder returns per clip, T.
            segments: Settings of how videos are cut into segments.
            name: Hub id or path of the weights; the model's own name if not given.
        """
        weights, head = weights_digest(video_clip), video_clip.temporal_head
        return cls(
            table_digest(video_clip, clips, weights),
            name or video_clip.pretrained,
            weights,
            frame_digest(weights, video_clip, clips),
            type(video_clip.encoder).__name__,
            None if head is None else type(head).__name__,
            _clip_settings(clips),
            frames,
            video_clip.embedding_dim,
            segments,
            SCHEMA_VERSION,
            version("ost-lightning"),
            video_clip.encoder.cpu_precision,
        )

    def save(self, file: Path) -> None:
        """Writes the settings as JSON."""
        content = asdict(self)
        if self.cpu_precision == "fp32":  # earlier versions of the package don't know the setting
            del content["cpu_precision"]
        write_text_atomically(file, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the settings that `save` wrote.

        Raises:
            UserError: If they are damaged, or of another version.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            found = content["schema_version"]
            if found == SCHEMA_VERSION:
                parts = content.pop("segments")
                return cls(**content, segments=SegmentSettings(**parts | {"lengths": tuple(parts["lengths"])}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The settings of a table, {file}, can't be read ({error!r}): restore the file, or delete its folder "
                "and index the videos again."
            ) from error
        raise other_version(file, found)

    def require_equal(self, other: "TableSettings", folder: Path) -> None:
        """Checks that embeddings with other settings may be added to this table.

        Args:
            other: Settings of the embeddings.
            folder: Folder of this table.

        Raises:
            UserError: If they may not; it names the differing settings.
        """
        differing = [
            f"{name} is {theirs}, in the table {mine}"
            for name, mine, theirs in _pairs(self, other)
            if name not in _INFORMATIVE and mine != theirs
        ]
        if differing:
            raise UserError(
                f"The table {folder} has other settings: {'; '.join(differing)}. Index with the table's settings, or "
                "into another library."
            )


def table_digest(video_clip: VideoCLIP, clips: ClipSettings, weights: str | None = None) -> str:
    """Returns the digest of weights and clip settings that names a table, 16 hexadecimal digits.

    Args:
        video_clip: Encoder with its weights.
        clips: Settings that define how a video becomes a clip.
        weights: Digest of the weights, if known.
    """
    head = video_clip.temporal_head
    settings = {
        "weights": weights or weights_digest(video_clip),
        "temporal_head": None if head is None else type(head).__name__,
        "pixels": [video_clip.preprocessing.mean, video_clip.preprocessing.std],
        "clips": _clip_settings(clips),
        **({"fp8": True} if video_clip.encoder.fp8 else {}),
    }
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def _clip_settings(clips: ClipSettings) -> dict[str, Any]:
    stride = {} if clips.stride is None else {"stride": clips.stride}  # tables from before there was one remain valid
    return {**asdict(clips.geometry()), "crop_offsets": clips.crop_offsets, **stride}


def _pairs(mine: Any, theirs: Any) -> list[tuple[str, Any, Any]]:
    """Name and both values of each setting; those of the segments one by one."""
    pairs = [(field.name, getattr(mine, field.name), getattr(theirs, field.name)) for field in fields(mine)]
    return [
        pair
        for name, first, second in pairs
        for pair in (_pairs(first, second) if isinstance(first, SegmentSettings) else [(name, first, second)])
    ]
