"""Identification of published test lists by the ids of their videos."""

from ost_lightning.analysis.published_lists import PublishedList, identify, labels_digest
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.video.annotations.video_ids import list_digest, video_id


def published_as(videos: LabeledVideos) -> PublishedList | None:
    """Returns the published test list that consists of exactly these videos; None if no list matches."""
    return identify(digest_of(videos), videos.labels)


def digest_of(videos: LabeledVideos) -> str:
    """Returns a digest of the ids of the listed videos, independent of their order."""
    return list_digest(video_id(record.id) for record in videos.records)


def labels_digest_of(videos: LabeledVideos) -> str:
    """Returns a digest of the listed videos with the names of their classes, independent of their order."""
    return labels_digest(videos.records, videos.labels.published)
