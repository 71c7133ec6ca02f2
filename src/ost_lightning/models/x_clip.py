"""X-CLIP: frames that talk to one another, and class texts that are prompted by the video (Ni et al., ECCV 2022)."""

from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, XCLIPModel

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.video_clip import FrameEmbeddings, PixelStatistics, VideoCLIP


class XCLIP(VideoCLIP):
    """A Hugging Face `XCLIPModel`, for evaluation.

    With the matcher `CategoryName` this is X-CLIP. Its texts depend on the video, so what `encode_frames` and
    `encode_sentences` return is for matchers from `adapt_matcher` only.

    Args:
        pretrained: Hub id or folder in HF format.
        attention: Attention kernels.
        pixel_statistics: Mean and deviation that pixels are normalized with; X-CLIP was trained with ImageNet's.

    Raises:
        CheckpointError: If there is no such model, or its weights are missing or incomplete.
    """

    architecture: ClassVar[type[PreTrainedModel]] = XCLIPModel

    def __init__(
        self,
        pretrained: str = "microsoft/xclip-base-patch16-zero-shot",
        *,
        attention: Literal["sdpa", "eager"] = "sdpa",
        pixel_statistics: PixelStatistics = "imagenet",
    ) -> None:
        super().__init__(
            pretrained,
            freeze_vision=True,
            freeze_text=True,
            attention=attention,
            pixel_statistics=pixel_statistics,
        )
        self.requires_grad_(False)

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> FrameEmbeddings:
        """Embeds a clip as a whole, and what prompts the class texts.

        Args:
            frames: uint8 (B, T, 3, S, S), 0 to 255, with T and S the model's.

        Returns:
            fp32 (B, 1 + P, d): the clip, L2-normalized, then the mean over its frames of each of P patches.

        Raises:
            UserError: If the frames have another size or number.
        """
        model, length = self._model, self._model.config.vision_config.num_frames
        if frames.shape[1] != length:
            raise UserError(
                f"The clips have {frames.shape[1]} frames, but {self.pretrained} reads {length}: "
                f"set the data's clips.frames to {length}."
            )
        seen = model.vision_model(pixel_values=self._pixels(frames))
        clip = model.mit(model.visual_projection(seen.pooler_output).unflatten(0, (-1, length))).pooler_output
        patches = model.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
        context = patches.unflatten(0, (-1, length)).mean(1)
        return torch.cat([F.normalize(clip.float(), dim=-1)[:, None], context.float()], dim=1)

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """A matcher whose texts are prompted by each video before they are compared with it."""
        return PromptedMatcher(matcher, self._model.prompts_generator)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """(n, L) -> (n, d), not normalized: the prompt is added before that."""
        features: Tensor = self.clip.get_text_features(input_ids=tokens.to(self.clip.logit_scale.device)).pooler_output
        return features.float()

    @property
    def _model(self) -> Any:
        return cast("Any", self.clip)


class PromptedMatcher(Matcher):
    """Matches each video with texts that it has prompted.

    Args:
        matcher: Mechanism that compares a clip with the prompted texts.
        generator: Maps texts (B, n, d) and context (B, P, d) to what is added to the texts, (B, n, d).
    """

    def __init__(self, matcher: Matcher, generator: nn.Module) -> None:
        super().__init__()
        self.kinds = matcher.kinds
        # not registered as submodules: both belong to others, whose weights would appear twice
        object.__setattr__(self, "matcher", matcher)
        object.__setattr__(self, "generator", generator)
        self.matcher: Matcher
        self.generator: nn.Module

    @torch.no_grad()
    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        """Similarities of clips and their context, (B, 1 + P, d), with texts, one (K, N, d) of each kind: (B, K)."""
        clips, context = frames[:, :1], frames[:, 1:]
        prompted = [self._prompt(rows, context) for rows in texts]
        # matchers take the same texts for all videos, and here every video has its own
        return torch.cat([self.matcher(clip[None], *rows) for clip, *rows in zip(clips, *prompted, strict=True)])

    def unconverged(self) -> Tensor | None:
        """How many iterative problems have not converged since the last call; None where nothing iterates."""
        return self.matcher.unconverged()

    def _prompt(self, texts: Tensor, context: Tensor) -> Tensor:
        """(K, N, d) and (B, P, d): L2-normalized (B, K, N, d)."""
        flat = texts.flatten(0, 1).expand(len(context), -1, -1)
        prompted = flat + self.generator(flat, context)
        unit: Tensor = F.normalize(prompted.float(), dim=-1).unflatten(1, tuple(texts.shape[:2]))
        return unit
