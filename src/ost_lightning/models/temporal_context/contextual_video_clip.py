"""A dual encoder for videos whose frames attend to context tokens of the whole clip."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.part_files import PartName
from ost_lightning.models.constructor_settings import constructor_settings
from ost_lightning.models.encoders import TowerName
from ost_lightning.models.encoders.promptable import PromptableEncoder, TowerShape
from ost_lightning.models.temporal_context.context import TemporalContext
from ost_lightning.models.video_clip import VideoCLIP


class ContextualVideoCLIP(VideoCLIP):
    """A `VideoCLIP` with temporal contextualization: the tower of TC-CLIP (Kim et al., ECCV 2024).

    Frames stay as many as they are, so that any matcher and temporal head can follow. Each embedding is one of a frame
    within its clip: it depends on the other frames.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`; see `VideoCLIP`. The encoder must be a CLIP.
        temporal_context: Factory of the contextualization of a vision tower of a given shape.
        init_from: Initial weights: a checkpoint that training wrote (`.ckpt`) or a folder in HF format; see
            `VideoCLIP`. They must include the biases.
        options: Other arguments of `VideoCLIP`.

    Raises:
        UserError: If the encoder has no layers of CLIP's kind, or a number is out of range.
    """

    parts: ClassVar[frozenset[PartName]] = frozenset({"temporal_head", "temporal_context"})
    runs_layers_for = "temporal context"

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        temporal_context: Callable[[TowerShape], TemporalContext] = TemporalContext,
        init_from: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pretrained, **options)
        self.init_from = init_from
        if not isinstance(self.encoder, PromptableEncoder):
            raise UserError(
                f"{pretrained} is a {self.encoder.model_type}, whose frames can't attend to context tokens: use a "
                "model of type clip."
            )
        self.temporal_context = temporal_context(self.encoder.tower_shape("vision"))
        self._load_part("temporal_context")
        if init_from is not None:
            self._load_initial_weights(init_from)
            self._logit_scale.apply(self.encoder)

    def has_gradients(self, tower: TowerName) -> bool:
        """Whether training changes what a tower returns; the biases are trained even in a frozen vision tower."""
        return tower == "vision" or super().has_gradients(tower)

    def part_settings(self) -> dict[str, Any]:
        """Returns class and settings of the contextualization as plain values."""
        part = self.temporal_context
        settings = {name: value for name, value in constructor_settings(part).items() if name != "shape"}
        return {"temporal_context": {"class": type(part).__name__, **settings}}

    def _embed_clips(self, pixels: Tensor) -> Tensor:
        encoder: PromptableEncoder = self.encoder  # type: ignore[assignment] # the constructor has checked it
        return encoder.encode_clips_with(pixels, self.temporal_context)
