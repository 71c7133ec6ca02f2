"""Features of videos, names of objects in them, and definitions of classes, from files that a user supplies."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import Dataset

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.video import SampleKey, VideoRecord


class VideoFeatures(Dataset[tuple[Tensor, int, tuple[str, ...]]]):
    """Samples of feature, label, and names of objects.

    Args:
        records: Videos with labels.
        features: Safetensors file with one vector per video, under its id.
        concepts: JSON file with the names of each video's objects by id, the most likely first.
        width: Number of dimensions that the features have to have; None for any.

    Raises:
        UserError: If a file is damaged, a video is in neither or only one of them, or a feature has another width.

    Attributes:
        width: Number of dimensions of the features.
        digest: Digest of features and names, 16 hexadecimal digits.
    """

    def __init__(
        self, records: Sequence[VideoRecord], features: Path, concepts: Path, width: int | None = None
    ) -> None:
        self.records = records
        ids = [record.id for record in records]
        self._features, self._concepts = _features(features, ids, width), _concepts(concepts, ids)
        self.width = len(self._features[ids[0]])
        digest = blake2b(digest_size=8)
        for id_ in sorted(self._features):
            digest.update(json.dumps([id_, self._concepts[id_]]).encode())
            digest.update(self._features[id_].numpy().tobytes())
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, int, tuple[str, ...]]:
        record = self.records[key.index]
        return self._features[record.id], record.label, self._concepts[record.id]


def class_definitions(labels: LabelSpace, file: Path | None) -> list[str]:
    """Returns the text of each class, `name: definition` in lower case, or the names alone without a file.

    Args:
        labels: Classes.
        file: JSON file with an object of definitions by class name.

    Raises:
        UserError: If the file is damaged, or a class has no definition.
    """
    if file is None:
        return [name.lower() for name in labels.names]
    known = _object(file)
    for name in labels.names:
        if not isinstance(known.get(name), str) or not known[name].strip():
            raise UserError(f"{file} has no definition of the class '{name}': every class needs one.")
    return [f"{name}: {' '.join(known[name].split())}".lower() for name in labels.names]


def _features(file: Path, ids: Sequence[str], width: int | None) -> dict[str, Tensor]:
    try:
        with safe_open(file, "pt") as opened:
            known = set(opened.keys())
            if missing := [id_ for id_ in ids if id_ not in known]:
                raise UserError(f"{file} has no features of {len(missing):,} listed videos (first: {missing[0]}).")
            found = {id_: opened.get_tensor(id_).float().clone() for id_ in ids}
    except (OSError, SafetensorError) as error:
        raise UserError(f"The features in {file} can't be read ({error}): expected a safetensors file.") from error
    expected = width or len(found[ids[0]].reshape(-1))
    for id_, feature in found.items():
        if feature.shape != (expected,):
            whose = "the model's features have" if width else f"that of {ids[0]} has"
            raise UserError(f"{file}: the feature of {id_} has shape {tuple(feature.shape)}, but {whose} {expected}.")
        if not bool(torch.isfinite(feature).all()):
            raise UserError(f"{file}: the feature of {id_} has values that are NaN or infinite.")
    return found


def _concepts(file: Path, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    known, found = _object(file), {}
    for id_ in ids:
        names = known.get(id_)
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise UserError(f"{file} has no list of objects for the video {id_}: expected at least one name.")
        found[id_] = tuple(names)
    return found


def _object(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{file} can't be read ({error}): expected JSON.") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected an object in braces.")
    return content
