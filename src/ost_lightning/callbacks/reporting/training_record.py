"""What a checkpoint tells about its training: on which videos, of which classes, for how long."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor

from ost_lightning.analysis.published_lists import identify
from ost_lightning.datamodules import LabeledVideos
from ost_lightning.text import LabelSpace
from ost_lightning.video.annotations.video_ids import id_hash, list_digest, video_id

KEY: Final = "ost_training"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """Kept in every checkpoint, as plain data.

    Attributes:
        label_space: Name of the classes.
        classes: K.
        videos: How many.
        shots: Fewest and most videos of a class.
        digest: Of their ids.
        list: Name of the published list that they are, if they are one.
        seed: Of the run.
        steps: Optimizer steps of the whole training; -1 if it was to go on for ever.
        validation: Digest of each validation set, by name.
        before: What the weights that this training began with were trained on, if they were; of weights that do not
            tell, their name only.
        ids: int64 (n,), sorted hashes of the video ids, those of `before` among them.
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
    ) -> Self:
        """Describes a training set.

        Args:
            training: The videos.
            validation: As the attribute.
            seed: As the attribute.
            steps: As the attribute.
            before: Record of the weights that this training begins with.
            began_with: Their name, if they have no record.
        """
        ids = [video_id(record.id) for record in training.records]
        per_class = Counter(record.label for record in training.records)
        digest = list_digest(ids)
        published = identify(digest, training.labels, for_training=True)
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
        )

    def after(self, resumed: Self) -> Self:
        """The record of a training that goes on from a checkpoint with this record, on the same videos or on others."""
        before = resumed.before if resumed.digest == self.digest else resumed.card()
        return replace(self, before=before, ids=torch.cat([self.ids, resumed.ids]).unique())

    def card(self) -> dict[str, Any]:
        """All but the ids."""
        return {name: value for name, value in self.content().items() if name != "ids"}

    def content(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        names = [name for name in self.__dataclass_fields__]
        return {name: getattr(self, name) for name in names}

    def seen(self, videos: LabeledVideos) -> int | None:
        """How many of these videos were trained on, by video id; None if weights from before may know them."""
        hashes = torch.tensor([id_hash(video_id(record.id)) for record in videos.records], dtype=torch.int64)
        count = int(torch.isin(hashes, self.ids).sum())
        return count if count or self.before is None or "weights" not in self.before else None

    @classmethod
    def load(cls, checkpoint: dict[str, Any]) -> Self | None:
        """What a checkpoint's contents tell; None if it does not."""
        content = checkpoint.get(KEY)
        return cls(**content) if content is not None else None


def label_space_name(labels: LabelSpace) -> str:
    """The name that a label space is asked for with."""
    return Path(labels.origin).name
