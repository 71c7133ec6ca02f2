"""Sorts the tensors of a checkpoint by the part that they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.foreign_layouts import NOT_WEIGHTS, KeyReport, to_hugging_face
from ost_lightning.models.checkpoints.layouts.base import ReleasedLayout
from ost_lightning.models.checkpoints.part_files import PARTS, PartName

_VISION: Final = "visual."
_SCALE: Final = "logit_scale"


@dataclass(frozen=True, slots=True)
class SortedCheckpoint:
    """Tensors of a checkpoint under the names that they have here.

    Attributes:
        config: Configuration of the encoder.
        encoder: Name to weight of the encoder's model.
        parts: Name to weight of each part beside it, under the names of its `state_dict`.
        report: Comparison with a complete checkpoint.
    """

    config: PretrainedConfig
    encoder: dict[str, Tensor]
    parts: dict[PartName, dict[str, Tensor]]
    report: KeyReport


def sort_checkpoint(
    layout: ReleasedLayout, tensors: Mapping[str, Tensor], text_tower: Callable[[], Mapping[str, Tensor]]
) -> SortedCheckpoint:
    """Sorts the tensors of a checkpoint by the part that they belong to.

    Args:
        layout: Layout of the checkpoint.
        tensors: Name to tensor, without the prefixes of wrappers.
        text_tower: Returns a text tower under OpenAI's names, for checkpoints that omit it because it was frozen.

    Raises:
        CheckpointError: If it is not exactly one complete checkpoint; it names what is missing or unknown.
    """
    entries = list(layout.entries(tensors))
    clip, used = layout.clip_tensors(tensors)
    completed: dict[str, Tensor] = {}
    if not any(not name.startswith(_VISION) and name != _SCALE for name in clip):
        completed = {name: tensor for name, tensor in text_tower().items() if name not in clip}
    known = used | {entry.released for entry in entries}
    ignored = {name for name in tensors.keys() - known if layout.ignores(name) or name in NOT_WEIGHTS}
    report = KeyReport(
        matched=tuple(name for name in tensors if name in known),
        completed=tuple(completed),
        missing=tuple(entry.released for entry in entries if entry.released not in tensors),
        unexpected=tuple(name for name in tensors if name not in known | ignored),
        ignored=tuple(sorted(ignored)),
    )
    if report.missing or report.unexpected:
        raise CheckpointError(f"The checkpoint is not exactly one complete model of layout '{layout.name}': {report}.")
    clip_config, weights, _ = to_hugging_face(clip | completed)
    config = layout.encoder_config(clip_config, tensors)
    encoder = {layout.encoder_name(name): weight for name, weight in weights.items()}
    parts: dict[PartName, dict[str, Tensor]] = {part: {} for part in PARTS}
    for entry in entries:
        target = encoder if entry.part == "encoder" else parts[entry.part]
        changed = entry.change(tensors[entry.released])
        if len(changed) != len(entry.names):
            raise CheckpointError(
                f"{entry.released} has the shape {tuple(tensors[entry.released].shape)}, from which "
                f"{len(entry.names)} tensors were expected, one for each layer."
            )
        target |= dict(zip(entry.names, changed, strict=True))
    if config is not clip_config:
        _check_shapes(config, encoder)
    return SortedCheckpoint(config, encoder, parts, report)


def _check_shapes(config: PretrainedConfig, weights: Mapping[str, Tensor]) -> None:
    """Compares weights with the shapes of an architecture that is no plain CLIP."""
    with torch.device("meta"):
        model: nn.Module = AutoModel.from_config(config)
    expected = {name: tuple(value.shape) for name, value in model.named_parameters()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"The shapes in the checkpoint are inconsistent: {name} is {found.get(name)} instead of "
                f"{expected.get(name)}."
            )
