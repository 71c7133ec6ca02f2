"""Which published list a set of videos is, by their ids."""

from ost_lightning.analysis.published_lists import PublishedList, identify
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.video.annotations.video_ids import list_digest, video_id


def published_as(videos: LabeledVideos) -> PublishedList | None:
    """The published test list that consists of these videos; None if there is no such list."""
    return identify(digest_of(videos), videos.labels)


def digest_of(videos: LabeledVideos) -> str:
    """Digest of the ids of the listed videos; their order doesn't matter."""
    return list_digest(video_id(record.id) for record in videos.records)
