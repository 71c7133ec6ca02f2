"""Matching of many videos with the names of a dictionary of classes: pseudo-labels for videos without labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings, evaluation_clips
from ost_lightning.matching import CategoryName
from ost_lightning.models import MeanPooling, VideoCLIP, require_finite_weights
from ost_lightning.models.encoders import encoder_class
from ost_lightning.recognition.read_ahead import ReadVideo, read_ahead
from ost_lightning.recognition.recognition import Unreadable
from ost_lightning.recognition.replicas import Devices, Replica, devices, share_out
from ost_lightning.recognition.trained_model import TrainedModel
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.video import SampleKey, VideoRecord

_FRAMES: Final = 16


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Class name that fits a video best.

    Attributes:
        id: Id of the video's record.
        label: Index of the most likely class.
        cosine: Similarity of the video and that class, averaged over views, -1 to 1.
    """

    id: str
    label: int
    cosine: float


class NameMatcher:
    """Matches videos with the names of classes; descriptors are not used.

    Args:
        model: Weights, sentence templates and clip settings.
        labels: Classes.
        device: Device for computation, or several; None for a GPU if available, otherwise the CPU.

    Raises:
        UserError: If a device doesn't exist, or weights are NaN or infinite.
    """

    def __init__(self, model: TrainedModel, labels: LabelSpace, device: Devices | None = None) -> None:
        first, *others = devices(device)
        self._clips = model.clips.resolved()
        clip: VideoCLIP = model.video_clip.to(first).eval()
        clip.require_trained_positions(self._clips.geometry().frames)
        require_finite_weights(clip)
        matcher = CategoryName()
        sentences = model.templates.apply(labels, matcher.kinds, 0, clip.token_count)
        clip.warn_about_names(model.templates.spelling(labels))
        with torch.inference_mode():
            texts = clip.encode_sentences(clip.tokenize(sentences))
        replica = Replica(clip, matcher, texts, first)
        self._replicas = (replica, *map(replica.copy_to, others))

    def stream(
        self, videos: Sequence[VideoRecord], *, threads: int = 0, batch_size: int = 8
    ) -> Iterator[NameMatch | Unreadable]:
        """Yields the best class of each video, in the order of the videos.

        Args:
            videos: Videos, or parts of them.
            threads: Threads that read videos ahead; 0 reads each one when it is needed.
            batch_size: Largest number of videos that are encoded together, at least 1.
        """
        batches = read_ahead(videos, self._read, threads, batch_size)
        for matches in share_out(batches, [partial(_match, replica=replica) for replica in self._replicas]):
            yield from matches

    def _read(self, record: VideoRecord) -> ReadVideo:
        clip = evaluation_clips([record], self._clips)[SampleKey(0, 0)]
        if isinstance(clip, UserError):
            return ReadVideo(record.id, None, str(clip))
        return ReadVideo(record.id, clip.frames, clip.failures[0].reason if clip.frames is None else "")


@torch.inference_mode()
def _match(videos: Sequence[ReadVideo], replica: Replica) -> list[NameMatch | Unreadable]:
    found: dict[str, NameMatch] = {}
    readable = [(video.name, video.frames) for video in videos if video.frames is not None]
    if readable:
        embedded = replica.embed(torch.stack([frames for _, frames in readable]))
        labels, cosines = replica.probabilities(embedded).argmax(1), replica.similarities(embedded)
        for row, (name, _) in enumerate(readable):
            label = int(labels[row])
            found[name] = NameMatch(name, label, float(cosines[row, label]))
    return [found[video.name] if video.name in found else Unreadable(video.name, video.error) for video in videos]


def plain_clip(weights: str, templates: str, frames: int | None = None) -> TrainedModel:
    """Loads weights that were not tuned on videos, as a model whose frames are averaged before they are normalized.

    Args:
        weights: Hub id, folder in HF format, or name of a tiny model.
        templates: Name or file of the sentence templates.
        frames: Number of frames per video; None for the number in the folder, or 16.
    """
    head = None if encoder_class(weights).relates_frames else MeanPooling
    video_clip, own = VideoCLIP(weights, temporal_head=head), Templates.load(templates)
    known = video_clip.preprocessing
    clips = ClipSettings(frames=frames or known.frames or _FRAMES).with_defaults_from(known)
    return TrainedModel(video_clip, CategoryName(), own, 0, clips)
