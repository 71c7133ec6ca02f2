"""The frames of a video that a list selects."""

from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.decoding import FrameFolder, FrameSource, VideoReadError


def listed_frames(video: FrameSource, record: VideoRecord) -> range:
    """Returns the indices of the frames between the start and end of a record.

    Of a folder of frames with a listed number of frames, these are the first ones. For a video file the number is
    ignored, because programs that write lists often estimate it.

    Raises:
        VideoReadError: If there are no such frames.
    """
    if record.frames is None or not isinstance(video, FrameFolder):
        return video.span(record.start, record.end)
    if record.frames > len(video):
        raise VideoReadError(
            record.path, f"the list has {record.frames} frames for it, but the folder contains {len(video)}"
        )
    return range(record.frames)
