"""Training record in a checkpoint: the videos and classes that were trained on, and for how long."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import torch
from torch import Tensor

from ost_lightning.analysis.results.published_lists import identify
from ost_lightning.callbacks.reporting.data_cards import label_space_name
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.video.annotations.video_ids import id_hash, list_digest, video_id

KEY: Final = "ost_training"


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

    @classmethod
    def of(
        cls,
        training: LabeledVideos,
        validation: dict[str, str],
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
            validation: Digest of each validation set, by name.
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
        if before is not None:
            hashes = torch.cat([hashes, before.ids])
        return cls(
            label_space=label_space_name(training.labels),
            classes=len(training.labels),
            videos=len(ids),
            shots=(min(per_class.values()), max(per_class.values())),
            digest=digest,
            list=published.name if published else None,
            seed=seed,
            steps=steps,
            validation=validation,
            before=before.card() if before is not None else {"weights": began_with} if began_with else None,
            ids=hashes.unique(),
            name_form=name_form,
            sentences=sentences,
        )

    def after(self, resumed: Self) -> Self:
        """Returns this record extended by the record in the checkpoint that training is resumed from."""
        sentences = self.sentences if resumed.sentences is not None else None
        same = (resumed.digest, resumed.sentences) == (self.digest, sentences)
        return replace(
            self,
            before=resumed.before if same else resumed.card(),
            ids=torch.cat([self.ids, resumed.ids]).unique(),
            sentences=sentences,
        )

    def card(self) -> dict[str, Any]:
        """Returns the record without the ids."""
        return {name: value for name, value in self.content().items() if name != "ids"}

    def content(self) -> dict[str, Any]:
        """Returns the record as it is stored in a checkpoint."""
        names = [name for name in self.__dataclass_fields__]
        return {name: getattr(self, name) for name in names}

    def seen(self, videos: LabeledVideos) -> int | None:
        """Returns how many of these videos, by video id, were trained on; None if an earlier training is unknown."""
        hashes = torch.tensor([id_hash(video_id(record.id)) for record in videos.records], dtype=torch.int64)
        count = int(torch.isin(hashes, self.ids).sum())
        return count if count or self.before is None or "weights" not in self.before else None

    @classmethod
    def load(cls, checkpoint: dict[str, Any]) -> Self | None:
        """Returns the record in a checkpoint's contents; None if the checkpoint has no record."""
        content = checkpoint.get(KEY)
        return cls(**content) if content is not None else None
