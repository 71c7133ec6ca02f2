"""X-CLIP: attention across frames, and class texts that are prompted by the video (Ni et al., ECCV 2022)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, XCLIPModel

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.pretrained.preprocessing import StatisticsName
from ost_lightning.models.encoders.towers.end_token import embed_end_tokens
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention


class XCLIPEncoder(DualEncoder):
    """An `XCLIPModel`, for evaluation only.

    Combined with the matcher `CategoryName` this is X-CLIP. Its texts depend on the video, so its embeddings only work
    with matchers from `adapt_matcher`.
    """

    model_type: ClassVar[str] = "xclip"
    architecture: ClassVar[type[PreTrainedModel]] = XCLIPModel
    statistics: ClassVar[StatisticsName] = "imagenet"
    unit_length: ClassVar[bool] = False
    trainable: ClassVar[bool] = False
    relates_frames: ClassVar[bool] = True

    @property
    def embedding_dim(self) -> int:
        """Width of the joint space."""
        width: int = self.model.config.projection_dim
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds one clip (T, 3, S, S), with the model's number of frames, as (1 + P, d)."""
        return self.encode_clips(pixels[None])[0]

    def encode_clips(self, pixels: Tensor) -> Tensor:
        """Embeds each clip as a whole, and the context that prompts the class texts.

        Args:
            pixels: Normalized pixels, fp32 (B, T, 3, S, S), with the model's number of frames.

        Returns:
            fp32 (B, 1 + P, d): the clip, followed by its P patches, each averaged over frames.

        Raises:
            UserError: If the clips have a different number of frames.
        """
        model, length = self.model, self.model.config.vision_config.num_frames
        if pixels.shape[1] != length:
            raise UserError(
                f"The clips have {pixels.shape[1]} frames, but the X-CLIP model reads {length}: "
                f"set the data's clips.frames to {length}."
            )
        vision = model.vision_model(pixel_values=pixels.flatten(0, 1))
        clip = model.mit(model.visual_projection(vision.pooler_output).unflatten(0, (-1, length))).pooler_output
        patches = model.prompts_visual_layernorm(vision.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
        context = patches.unflatten(0, (-1, length)).mean(1)
        return torch.cat([clip.float()[:, None], context.float()], dim=1)

    def encode_with_attention(self, pixels: Tensor) -> tuple[Tensor, VisionAttention]:
        """Refuses, because every layer passes messages between frames, and texts depend on the video.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "There are no attention maps for X-CLIP: its frames exchange messages in every layer, and its texts depend "
            "on the video, so that maps of single frames would leave out a part of the evidence."
        )

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d). Attention is causal, so padding after the end token needs no mask."""
        return embed_end_tokens(self.model, tokens, self.end_token)

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """Wraps a matcher so that each video prompts the texts before they are compared with it."""
        return PromptedMatcher(matcher, self.model.prompts_generator)

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower."""
        if name == "vision":
            vision = self.model.vision_model
            below = (vision.embeddings, vision.pre_layernorm)
            return Tower(vision, below, vision.encoder.layers, self.model.visual_projection)
        text = self.model.text_model
        return Tower(text, (text.embeddings,), text.encoder.layers, self.model.text_projection)


class PromptedMatcher(Matcher):
    """Matches each video with texts that it has prompted.

    Args:
        matcher: Mechanism that compares a clip with the prompted texts.
        generator: Module that maps texts (B, n, d) and context (B, P, d) to the offset that is added to the texts,
            (B, n, d).
    """

    def __init__(self, matcher: Matcher, generator: nn.Module) -> None:
        super().__init__()
        self.kinds = matcher.kinds
        # not registered as submodules: other modules own both, and their weights would appear twice
        object.__setattr__(self, "matcher", matcher)
        object.__setattr__(self, "generator", generator)
        self.matcher: Matcher
        self.generator: nn.Module

    @torch.no_grad()
    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Compares clips and their context, (B, 1 + P, d), with texts, one (K, N, d) per kind; returns (B, K)."""
        clips, context = F.normalize(frames[:, :1], dim=-1), frames[:, 1:]
        prompted = [self._prompt(rows, context) for rows in texts]
        # matchers take the same texts for all videos, but here every video has its own
        return torch.cat([self.matcher(clip[None], *rows) for clip, *rows in zip(clips, *prompted, strict=True)])

    def unconverged(self) -> Tensor | None:
        """Number of iterative problems that have not converged since the last call; None where nothing iterates."""
        return self.matcher.unconverged()

    def _prompt(self, texts: Tensor, context: Tensor) -> Tensor:
        """Maps texts (K, N, d) and context (B, P, d) to L2-normalized prompted texts (B, K, N, d)."""
        flat = texts.flatten(0, 1).expand(len(context), -1, -1)
        prompted = flat + self.generator(flat, context)
        unit: Tensor = F.normalize(prompted.float(), dim=-1).unflatten(1, tuple(texts.shape[:2]))
        return unit
