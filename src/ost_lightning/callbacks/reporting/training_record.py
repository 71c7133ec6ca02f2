"""Training record in a checkpoint: the videos and classes that were trained on, and for how long."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import torch
from torch import Tensor

from ost_lightning.analysis.results.published_lists import identify
from ost_lightning.callbacks.reporting.data_cards import label_space_name
from ost_lightning.callbacks.reporting.published_lists import digest_of
from ost_lightning.callbacks.reporting.video_identity import VideoIdentity, identities
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.video.annotations.video_ids import id_hash, list_digest, video_id

KEY: Final = "ost_training"
_PER_VIDEO: Final = ("ids", "identities", "validation_identities")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """Description of a training, stored in each of its checkpoints as plain data.

    Attributes:
        label_space: Name of the label space.
        classes: Number of classes.
        videos: Number of training videos.
        shots: Fewest and most videos per class.
        digest: Digest of the video ids.
        list: Name of the published list that consists of exactly these videos; None if no list matches.
        seed: Seed of the run.
        steps: Number of optimizer steps of the complete training; -1 if it has no limit.
        validation: Digest of each validation set, by name.
        before: Record, without ids, of the earlier training whose weights this training started from; only their name
            if they have no record; None if this training started from a pre-trained CLIP.
        ids: Sorted hashes of the video ids, including the ids of `before`: int64 (n,).
        name_form: Form of the class names, as in `DataCard`; None in checkpoints of earlier versions.
        sentences: Digest of the sentences of each kind; None in checkpoints of earlier versions.
        identities: Sorted hashes of what identifies the videos below any root, including those of `before`: int64 (n,).
            None if unknown, in checkpoints of earlier versions.
        validation_identities: Digest of what identifies the videos of each validation set, by name; None if unknown.
    """

    label_space: str
    classes: int
    videos: int
    shots: tuple[int, int]
    digest: str
    list: str | None
    seed: int | None
    steps: int
    validation: dict[str, str]
    before: dict[str, Any] | None
    ids: Tensor
    name_form: str | None = None
    sentences: dict[str, str] | None = None
    identities: Tensor | None = None
    validation_identities: dict[str, str] | None = None

    @classmethod
    def of(
        cls,
        training: LabeledVideos,
        validation: Mapping[str, LabeledVideos],
        *,
        seed: int | None,
        steps: int,
        before: Self | None,
        began_with: str | None = None,
        name_form: str | None = None,
        sentences: dict[str, str] | None = None,
    ) -> Self:
        """Creates the record of a training that is about to start.

        Args:
            training: Training videos.
            validation: Validation sets by name.
            seed: Seed of the run.
            steps: Number of optimizer steps of the complete training; -1 if it has no limit.
            before: Record of the weights that this training starts from.
            began_with: Name of the initial weights if they have no record.
            name_form: Form of the class names.
            sentences: Digest of the sentences of each kind.
        """
        ids = [video_id(record.id) for record in training.records]
        per_class = Counter(record.label for record in training.records)
        digest = list_digest(ids)
        published = identify(training.records, training.labels, for_training=True).list
        hashes = torch.tensor([id_hash(id_) for id_ in ids], dtype=torch.int64)
        known: Tensor | None = _hashes(identities(training.records)).flatten()
        if before is not None:
            hashes = torch.cat([hashes, before.ids])
            known = _joined(known, before.identities)
        return cls(
            label_space=label_space_name(training.labels),
            classes=len(training.labels),
            videos=len(ids),
            shots=(min(per_class.values()), max(per_class.values())),
            digest=digest,
            list=published.name if published else None,
            seed=seed,
            steps=steps,
            validation={name: digest_of(videos) for name, videos in validation.items()},
            before=before.card() if before is not None else {"weights": began_with} if began_with else None,
            ids=hashes.unique(),
            name_form=name_form,
            sentences=sentences,
            identities=None if known is None else known.unique(),
            validation_identities={name: _digest(videos) for name, videos in validation.items()},
        )

    def after(self, resumed: Self) -> Self:
        """Returns this record extended by the record in the checkpoint that training is resumed from."""
        sentences = self.sentences if resumed.sentences is not None else None
        same = (resumed.digest, resumed.sentences) == (self.digest, sentences)
        return replace(
            self,
            before=resumed.before if same else resumed.card(),
            ids=torch.cat([self.ids, resumed.ids]).unique(),
            identities=_joined(self.identities, resumed.identities),
            sentences=sentences,
        )

    def card(self) -> dict[str, Any]:
        """Returns the record without what identifies single videos."""
        return {name: value for name, value in self.content().items() if name not in _PER_VIDEO}

    def content(self) -> dict[str, Any]:
        """Returns the record as it is stored in a checkpoint."""
        names = [name for name in self.__dataclass_fields__]
        return {name: getattr(self, name) for name in names}

    def seen(self, videos: LabeledVideos) -> int | None:
        """Returns how many of these videos were trained on; None if an earlier training is unknown.

        A publisher's name identifies a video. Others are the same if their contents or addresses are. Checkpoints of
        earlier versions know only ids, which may agree below different roots.
        """
        if self.identities is None:
            hashes = torch.tensor([[id_hash(video_id(record.id))] for record in videos.records], dtype=torch.int64)
            count = int(torch.isin(hashes, self.ids).sum())
        else:
            count = int(torch.isin(_hashes(identities(videos.records)), self.identities).any(1).sum())
        return count if count or self.before is None or "weights" not in self.before else None

    def may_have_validated_on(self, videos: LabeledVideos) -> bool:
        """Returns whether a validation set may have been these videos, not only others with equal names."""
        return self.validation_identities is None or _digest(videos) in self.validation_identities.values()

    @classmethod
    def load(cls, checkpoint: dict[str, Any]) -> Self | None:
        """Returns the record in a checkpoint's contents; None if the checkpoint has no record."""
        content = checkpoint.get(KEY)
        return cls(**content) if content is not None else None


def _hashes(found: Sequence[VideoIdentity]) -> Tensor:
    """Hashes of each video, int64 (n, 2); the same one twice for published names."""
    return torch.tensor([(one.hashes * 2)[:2] for one in found], dtype=torch.int64).view(-1, 2)


def _joined(mine: Tensor | None, theirs: Tensor | None) -> Tensor | None:
    return None if mine is None or theirs is None else torch.cat([mine, theirs]).unique()


def _digest(videos: LabeledVideos) -> str:
    return list_digest(one.best for one in identities(videos.records))
