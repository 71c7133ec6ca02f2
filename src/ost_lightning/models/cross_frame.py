"""A CLIP whose frames exchange messages and whose videos prompt the texts: X-CLIP, trained from an image CLIP."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.encoders import DualEncoder
from ost_lightning.models.encoders.pretrained.loading import load_model, model_type_of
from ost_lightning.models.video_clip import VideoCLIP


class CrossFrameVideoCLIP(VideoCLIP):
    """X-CLIP (Ni et al., ECCV 2022) that starts from a CLIP, or from an X-CLIP of the same number of frames.

    In each layer of the vision tower, frames exchange messages; a transformer integrates them to one vector, and the
    patches of the video prompt the texts. The weights for this are new, unless `pretrained` is an X-CLIP.

    Args:
        pretrained: Hub id, folder or `tiny`, of type `clip` or `xclip`.
        frames: Number of frames of a clip, T; the data's `clips.frames` has to be the same.
        prompt_layers: Number of layers that prompt the texts.
        prompt_alpha: Scale of the prompts at the start.
        options: Other arguments of `VideoCLIP`.

    Raises:
        UserError: If the vision tower is to be frozen, or an X-CLIP has another number of frames.
    """

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        frames: int = 8,
        prompt_layers: int = 2,
        prompt_alpha: float = 0.1,
        **options: Any,
    ) -> None:
        if frames < 1 or prompt_layers < 1:
            raise UserError(
                f"video_clip.frames is {frames} and prompt_layers is {prompt_layers}: expected at least 1 of both."
            )
        if options.get("freeze_vision"):
            raise UserError(
                "video_clip.freeze_vision is true, but the new weights of X-CLIP are trained through the vision tower: "
                "freeze weights by name with video_clip.frozen_weights instead."
            )
        self.frames, self.prompt_layers, self.prompt_alpha = frames, prompt_layers, prompt_alpha
        super().__init__(pretrained, **options)

    def _load_encoder(self, pretrained: str, attention: str) -> DualEncoder:
        from ost_lightning.models.encoders.x_clip import XCLIPEncoder  # its architecture takes a second to import

        if model_type_of(pretrained) != "xclip":
            return XCLIPEncoder.from_image_clip(
                pretrained, self.frames, self.prompt_layers, self.prompt_alpha, attention
            )
        encoder = XCLIPEncoder.from_pretrained(pretrained, attention)
        trained = encoder.model.config.vision_config.num_frames
        if trained != self.frames:
            raise UserError(
                f"{pretrained} is an X-CLIP for {trained} frames, but video_clip.frames is {self.frames}: set both "
                f"video_clip.frames and the data's clips.frames to {trained}."
            )
        return encoder

    def _weights_of(self, pretrained: str) -> Mapping[str, Tensor]:
        """Returns the weights of an X-CLIP; those of a CLIP together with this model's own added ones."""
        from transformers import CLIPModel

        from ost_lightning.models.encoders.x_clip import is_added, names_in_x_clip

        if model_type_of(pretrained) == "xclip":
            return super()._weights_of(pretrained)
        clip = {name: weight.detach() for name, weight in load_model(CLIPModel, pretrained).named_parameters()}
        current = self.encoder.model.named_parameters()
        added = {name: weight.detach().cpu().clone() for name, weight in current if is_added(name)}
        return {**names_in_x_clip(clip), **added}
