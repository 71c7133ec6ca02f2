"""Identification of published test lists by their videos and labels."""

from ost_lightning.analysis.results.published_lists import Identification, identify, labels_digest
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.video.annotations.video_ids import list_digest, video_id


def published_as(videos: LabeledVideos) -> Identification:
    """Returns the published test list that has exactly these videos and labels, or what is in doubt about it."""
    return identify(videos.records, videos.labels)


def digest_of(videos: LabeledVideos) -> str:
    """Returns a digest of the ids of the listed videos, independent of their order."""
    return list_digest(video_id(record.id) for record in videos.records)


def labels_digest_of(videos: LabeledVideos) -> str:
    """Returns a digest of the listed videos with the names of their classes, independent of their order."""
    return labels_digest(videos.records, videos.labels.published)
