"""Records of videos: the form that every annotation format is read into."""

from dataclasses import dataclass, field
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.video.storage.addresses import VideoAddress

Span = tuple[float | None, float | None]
"""Start and end of a part of a video in seconds; None for the video's own start or end."""

UNLABELED: Final = -1
"""Label of a video whose class is unknown: it can be predicted, but not trained on or scored."""


class AnnotationError(UserError):
    """A list of videos can't be used."""


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video, or part of one.

    Attributes:
        path: File, frame folder, shard member or URL; right after parsing relative to the videos' root (see
            `VideoRoot`).
        label: Class index, from 0, or UNLABELED.
        id: Name in reports, without passwords; unique within its list by convention.
        start: Start of the part in seconds, or None for the beginning of the video.
        end: End of the part in seconds, or None for the end of the video.
        frames: Number of frames to use of a frame folder, from the first one on; None for all.
        line: Line or row of the list, from 1; 0 if the record is not from a list.
    """

    path: VideoAddress
    label: int
    id: str
    start: float | None = None
    end: float | None = None
    frames: int | None = None
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if "://" in self.id:
            object.__setattr__(self, "id", without_passwords(self.id))

    @property
    def span(self) -> Span:
        """Start and end."""
        return self.start, self.end
