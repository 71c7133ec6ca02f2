"""A dual encoder for videos with a trained network beside its frozen vision tower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.part_files import PartName
from ost_lightning.models.constructor_settings import constructor_settings
from ost_lightning.models.encoders import TowerName
from ost_lightning.models.encoders.promptable import PromptableEncoder, TowerShape
from ost_lightning.models.side_networks.base import SideNetwork
from ost_lightning.models.video_clip import FrameEmbeddings, VideoCLIP

_SHAPES = frozenset({"shape", "embedding_dim"})


class SideTunedVideoCLIP(VideoCLIP):
    """A `VideoCLIP` whose clips are embedded by a trained network beside its frozen vision tower.

    Both towers and the temperature are always frozen, and the vision tower runs without gradients.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`; see `VideoCLIP`. The encoder must be a CLIP.
        side_network: Factory of a network for a vision tower of a given shape and a joint space of a given width.
        clip_share: Share of plain CLIP in the scores of an evaluation, 0 to 1: similarities are averaged with those of
            the tower's own frames. 0 for the network alone, 0.5 for the zero-shot scores of DiST.
        init_from: Initial weights: a checkpoint that training wrote (`.ckpt`) or a folder in HF format; see
            `VideoCLIP`. They must include the network.
        options: Other arguments of `VideoCLIP`.

    Raises:
        UserError: If the encoder has no layers of CLIP's kind, there is a temporal head, or a number is out of range.
    """

    parts: ClassVar[frozenset[PartName]] = frozenset({"temporal_head", "side_network"})
    runs_layers_for = "a side network"

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        side_network: Callable[[TowerShape, int], SideNetwork],
        clip_share: float = 0.0,
        init_from: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pretrained, **options)
        self._freeze(vision=True, text=True)
        self.init_from, self.clip_share = init_from, clip_share
        if not 0 <= clip_share <= 1:
            raise UserError(f"video_clip.clip_share is {clip_share}: expected a share, 0 to 1.")
        if self.temporal_head is not None:
            raise UserError("video_clip.side_network pools the frames of a clip: unset video_clip.temporal_head.")
        if not isinstance(self.encoder, PromptableEncoder):
            raise UserError(
                f"{pretrained} is a {self.encoder.model_type}, whose layers a side network can't read: use a model of "
                "type clip."
            )
        self.side_network = side_network(self.encoder.tower_shape("vision"), self.embedding_dim)
        self._load_part("side_network")
        if init_from is not None:
            self._load_initial_weights(init_from)
            self._logit_scale.apply(self.encoder)
        for scalar in self.encoder.logit_parameters:
            scalar.requires_grad_(False)

    def has_gradients(self, tower: TowerName) -> bool:
        """Whether training changes what a tower returns; clips, but not texts."""
        return tower == "vision"

    def encode_frames(self, frames: Tensor, project: Callable[[Tensor], Tensor] | None = None) -> FrameEmbeddings:
        """Embeds every clip as a whole.

        Args:
            frames: uint8 (B, T, 3, S, S), 0 to 255, with the network's number of frames.
            project: Map of embeddings before they are normalized, which only training uses; None for none.

        Returns:
            fp32 (B, 1, d). L2-normalized, except with a share of CLIP in evaluation mode: then it is the average of
            the network's unit vector and the tower's, so that its products with texts are averages of cosines.

        Raises:
            UserError: If the frames have a different size or number.
        """
        embedded = super().encode_frames(frames, project)
        if embedded.shape[1] == 1:
            return embedded
        own, tower = embedded[:, :1], embedded[:, 1:].mean(1, keepdim=True)
        return (1 - self.clip_share) * own + self.clip_share * tower

    def require_possible_frames(self, frames: int) -> None:
        """Checks that the clips have the network's number of frames.

        Raises:
            UserError: If they don't.
        """
        if frames != self.side_network.frames:
            raise UserError(
                f"The clips have {frames} frames, but video_clip.side_network reads {self.side_network.frames}: set "
                f"the data's clips.frames to {self.side_network.frames}."
            )

    def part_settings(self) -> dict[str, Any]:
        """Returns class and settings of the network as plain values, and the share of CLIP."""
        network = self.side_network
        settings = {name: value for name, value in constructor_settings(network).items() if name not in _SHAPES}
        return {"side_network": {"class": type(network).__name__, **settings}, "clip_share": self.clip_share}

    def _embed_clips(self, pixels: Tensor) -> Tensor:
        """Embeds clips (B, T, 3, S, S) as (B, 1, d), or with a share of CLIP, and its t frames, as (B, 1 + t, d)."""
        self.require_possible_frames(pixels.shape[1])
        sparse = pixels[:, :: self.side_network.stride]
        encoder: Any = self.encoder  # the constructor has checked that it has layers
        with torch.no_grad():
            frames, states = encoder.encode_with_states(sparse.flatten(0, 1))
        unflatten = tuple(sparse.shape[:2])
        embedded: Tensor = self.side_network([state.unflatten(0, unflatten) for state in states], pixels)[:, None]
        if self.training or not self.clip_share:
            return embedded
        return torch.cat([embedded.float(), frames.float().unflatten(0, unflatten)], dim=1)
