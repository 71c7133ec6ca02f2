"""Arrow schemas of a library's tables, version 1, and the import of Lance, which stores them.

Each schema has its version in its metadata (`ost_lightning.schema_version`). A column is never renamed, and never
changes its meaning, without a new version.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION: Final = 1
"""Version of the tables and of the library's layout."""
Precision = Literal["float16", "float32"]
"""Type of the stored embeddings."""
VERSION_KEY: Final = b"ost_lightning.schema_version"
"""Key of the version in a schema's metadata."""


def lance() -> ModuleType:
    """Returns the module `lance`.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import lance
    except ImportError as error:
        raise UserError("Libraries of videos require Lance: pip install 'ost-lightning[library]'") from error
    module: ModuleType = lance
    return module


def other_version(place: Path, found: object) -> UserError:
    """Returns the error for a file or folder of another version."""
    return UserError(
        f"{place} is of version {found} of the library's format, but this version of ost-lightning reads version "
        f"{SCHEMA_VERSION}: use the version of ost-lightning that made it, or index into another library."
    )


def segment_schema(frames: int, width: int, precision: Precision) -> "pyarrow.Schema":
    """Schema of the segments: one row per segment of a video.

    | column | content |
    | --- | --- |
    | `key` | digest of the address and of the part of the video that was listed, 16 hexadecimal digits |
    | `place` | number of the segment within its key, from 0 |
    | `video` | absolute path, or URL without passwords |
    | `video_id` | name in lists and reports |
    | `video_digest` | digest of the file's state; empty if it is not on this machine |
    | `start`, `end` | part of the video in seconds; `end` is null if the video has no times |
    | `duration` | length of the whole video in seconds; null if it has no times |
    | `label` | name of the class; null if unknown |
    | `frame_times` | time of each of T frames in seconds; NaN if unknown |
    | `embeddings` | unit vectors of T frames, T * d numbers, frame after frame |
    | `mean` | mean of the T unit vectors, which is not normalized again, fp32 |
    | `damaged` | number of sampled moments of the video that could not be read |

    Args:
        frames: Number of frames per segment, T.
        width: Number of dimensions, d.
        precision: Type of the embeddings.
    """
    import pyarrow as pa

    return _versioned(
        [
            *_identity(),
            pa.field("place", pa.int32(), nullable=False),
            pa.field("start", pa.float64(), nullable=False),
            pa.field("end", pa.float64()),
            pa.field("duration", pa.float64()),
            pa.field("label", pa.string()),
            pa.field("frame_times", pa.list_(pa.float32(), frames), nullable=False),
            pa.field("embeddings", pa.list_(_number(precision), frames * width), nullable=False),
            pa.field("mean", pa.list_(pa.float32(), width), nullable=False),
            pa.field("damaged", pa.int32(), nullable=False),
        ]
    )


def frame_schema(width: int, precision: Precision) -> "pyarrow.Schema":
    """Schema of the frames of long videos: one row per distinct frame of the grid of times.

    | column | content |
    | --- | --- |
    | `key`, `video`, `video_id`, `video_digest` | as in the segments |
    | `frame` | number of the frame among those of the video, from 0 |
    | `step`, `steps` | first step of the grid that shows the frame, and number of such steps |
    | `embedding` | unit vector, d numbers |
    | `duration` | length of the video in seconds |
    | `rate` | steps of the grid per second |
    | `gaps` | parts that could not be read, as JSON: start and end in seconds, reason |

    Args:
        width: Number of dimensions, d.
        precision: Type of the embeddings.
    """
    import pyarrow as pa

    return _versioned(
        [
            *_identity(),
            pa.field("frame", pa.int32(), nullable=False),
            pa.field("step", pa.int32(), nullable=False),
            pa.field("steps", pa.int32(), nullable=False),
            pa.field("embedding", pa.list_(_number(precision), width), nullable=False),
            pa.field("duration", pa.float64(), nullable=False),
            pa.field("rate", pa.float64(), nullable=False),
            pa.field("gaps", pa.string(), nullable=False),
        ]
    )


def error_schema() -> "pyarrow.Schema":
    """Schema of the videos that could not be read: `reason`, and `time` of the last attempt, beside their identity."""
    import pyarrow as pa

    return _versioned(
        [
            *_identity(),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )


def _identity() -> list["pyarrow.Field"]:
    import pyarrow as pa

    return [pa.field(name, pa.string(), nullable=False) for name in ("key", "video", "video_id", "video_digest")]


def _versioned(fields: list["pyarrow.Field"]) -> "pyarrow.Schema":
    import pyarrow as pa

    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


def _number(precision: Precision) -> "pyarrow.DataType":
    import pyarrow as pa

    return pa.float16() if precision == "float16" else pa.float32()
