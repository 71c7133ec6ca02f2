"""Places where learned prompts or a network beside the encoder take part in a `VideoCLIP`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ost_lightning.models.checkpoints.part_files import PartName
from ost_lightning.models.encoders import TowerName
from ost_lightning.text import LabelSpace


class ExtensibleModel(nn.Module):
    """Base class of `VideoCLIP`: what subclasses with modules beside the encoder say about them, without any here.

    Attributes:
        parts: Names of the attributes that hold modules beside the encoder, each with a file of its own in folders.
        prompted_towers: Towers with learned prompts.
        runs_layers_for: Name of what needs the vision tower's layers one by one and relates the frames of a clip, such
            as learned prompts; empty if there is no such thing.
    """

    parts: ClassVar[frozenset[PartName]] = frozenset({"temporal_head"})
    prompted_towers: frozenset[TowerName] = frozenset()
    runs_layers_for: str = ""

    def part_settings(self) -> dict[str, Any]:
        """Returns the settings of learned prompts or a side network as plain values; empty without any."""
        return {}

    def remark_on(self, labels: LabelSpace) -> str | None:
        """Returns a sentence on scores of a label space that learned prompts don't belong to; None if they do."""
        return None

    def require_possible_frames(self, frames: int) -> None:
        """Raises a UserError if the architecture doesn't allow this many frames per clip."""

    def set_training_classes(self, labels: LabelSpace) -> None:
        """Prepares parts that belong to the training classes, such as contexts of single classes, before `fit`."""

    def take_classes(self, weights: Mapping[str, Tensor]) -> None:
        """Prepares them for weights that are about to be loaded, by their names in `state_dict`."""
