"""Reading of the frames of one clip: as crops, or as whole frames."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.clips.listed_frames import listed_frames
from ost_lightning.video.decoding.frame_source import CropChooser, FrameSource
from ost_lightning.video.decoding.reader import open_video
from ost_lightning.video.decoding.scaling import ResizeFilter
from ost_lightning.video.decoding.timeout import READ_TIMEOUT, Result, run_with_timeout


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Settings for reading video files.

    Attributes:
        sample_aspect: Whether to resample non-square pixels to square ones, as a player does; decord and torchcodec do
            not.
        timeout: Seconds after which a read is abandoned; None for no limit.
        resize: Interpolation for resizing.
    """

    sample_aspect: bool = True
    timeout: float | None = READ_TIMEOUT
    resize: ResizeFilter = "bicubic"


def read_record(
    record: VideoRecord,
    choose: Callable[[int], Tensor],
    short_side: int,
    crop_spec: CropChooser,
    reading: ReadSettings,
    *,
    with_times: bool = False,
) -> tuple[Tensor, tuple[float, ...]]:
    """Reads the crops of one record, as `read_views` does, within the time limit.

    Args:
        record: Record, which may select a part of the video.
        choose: Chooses the frames of each view from a number of frames: indices (V, T).
        short_side: Length in pixels of the shorter side that crops refer to.
        crop_spec: Chooses C crops, from height and width of the resized frame.
        reading: Settings for reading the file.
        with_times: Whether to return the times of the frames.

    Raises:
        VideoReadError: If a frame does not exist, can't be decoded, or reading takes too long.
    """

    def read(video: FrameSource) -> tuple[Tensor, tuple[float, ...]]:
        return read_views(video, record, choose, short_side, crop_spec, with_times=with_times)

    return _from_video(record, reading, read)


def read_whole_frames(
    record: VideoRecord, choose: Callable[[int], Tensor], short_side: int, reading: ReadSettings
) -> Tensor:
    """Reads the whole frames of the views of one record, within the time limit.

    Args:
        record: Record, which may select a part of the video.
        choose: Chooses the frames of each view from a number of frames: indices (V, T).
        short_side: Length in pixels of the shorter side of the frames.
        reading: Settings for reading the file.

    Returns:
        uint8 (V, T, 3, H, W).

    Raises:
        VideoReadError: If a frame does not exist, can't be decoded, or reading takes too long.
    """

    def read(video: FrameSource) -> Tensor:
        span = listed_frames(video, record)
        indices = choose(len(span)) + span.start
        frames: Tensor = video.read(indices.flatten(), short_side).unflatten(0, tuple(indices.shape))
        return frames

    return _from_video(record, reading, read)


def _from_video(record: VideoRecord, reading: ReadSettings, read: Callable[[FrameSource], Result]) -> Result:
    """Opens the video of a record and reads from it, within the time limit."""

    def opened() -> Result:
        with open_video(record.path, sample_aspect=reading.sample_aspect, resize=reading.resize) as video:
            return read(video)

    return run_with_timeout(reading.timeout, record.path, opened)


def read_views(
    video: FrameSource,
    record: VideoRecord,
    choose: Callable[[int], Tensor],
    short_side: int,
    crop_spec: CropChooser,
    *,
    with_times: bool = False,
) -> tuple[Tensor, tuple[float, ...]]:
    """Reads the views of one record from an open video.

    Args:
        video: Video of the record.
        record: Record, which may select a part of the video.
        choose: Chooses the frames of each view from a number of frames: indices (V, T).
        short_side: Length in pixels of the shorter side that crops refer to.
        crop_spec: Chooses C crops, from height and width of the resized frame.
        with_times: Whether to return the times of the frames.

    Returns:
        Crops uint8 (V x C, T, 3, S, S), those of a view adjacent; and times of the first view's frames in seconds,
        empty if they were not asked for or the frames have no times.

    Raises:
        VideoReadError: If a frame does not exist or can't be decoded.
    """
    span = listed_frames(video, record)
    indices = choose(len(span)) + span.start
    crops = video.read_crops(indices.flatten(), short_side, crop_spec)
    seconds = tuple(video.times(indices[0].tolist())) if with_times and video.rate else ()
    views: Tensor = crops.unflatten(1, tuple(indices.shape)).transpose(0, 1).flatten(0, 1)
    return views, seconds
