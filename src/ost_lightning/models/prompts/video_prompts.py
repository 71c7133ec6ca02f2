"""Summary, local and global prompts, with which the frames of a clip exchange information in a frozen vision tower."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.models.prompts.base import VisionPrompts

_TIME_STD: Final = 0.02


class VideoPrompts(VisionPrompts):
    r"""Three kinds of prompts in every layer, and a learned embedding of each frame's time.

    For the class tokens c of a clip's T frames in front of a layer, :math:`u = W c + b` is their projection. Each frame
    is joined by

    * one summary: its row of :math:`u + \mathrm{attention}(\mathrm{norm}(u))` over the T frames
    * T local prompts: learned vectors, to which the frames' class tokens are added
    * global prompts: learned vectors, the same in every frame.

    The layer drops them after its own computation. Frames remain as many as they were; `MeanPooling` averages them.

    A clip with a multiple of T frames is treated as consecutive runs of T frames, with their times stretched. Any other
    number of frames is refused.

    Source: Wasim et al., "Vita-CLIP: Video and text adaptive CLIP via multimodal prompting", CVPR 2023.

    Args:
        summary: Whether each frame gets a summary of the clip.
        local: Whether each frame gets a local prompt of every frame.
        global_prompts: Number of global prompts per layer; 0 for none.
        train_projection: Whether W and b are trained, as in the paper. The released code never trains them: they stay
            the random matrices that they began as.
        local_input: What is added to the learned local prompts: the `projected` class tokens, as in the released code,
            or the `class_token` itself, as in the paper.

    Raises:
        UserError: If a number is out of range.
    """

    def __init__(
        self,
        shape: TowerShape,
        frames: int = 8,
        summary: bool = True,
        local: bool = True,
        global_prompts: int = 8,
        train_projection: bool = True,
        local_input: Literal["projected", "class_token"] = "projected",
    ) -> None:
        super().__init__(shape, frames)
        if global_prompts < 0:
            raise UserError(f"video_clip.vision_prompts.global_prompts is {global_prompts}: expected at least 0.")
        self.summary, self.local, self.global_prompts = summary, local, global_prompts
        self.train_projection, self.local_input = train_projection, local_input
        self.times = nn.Parameter(_TIME_STD * torch.randn(frames, shape.width))
        # as in visual prompt tuning: Xavier's bound of the patch embedding
        bound = math.sqrt(6 / (3 * shape.patch_size**2 + shape.width))
        self.layers = nn.ModuleList(
            _LayerPrompts(
                shape,
                _Kinds(frames if local else 0, global_prompts, summary, local_input == "projected"),
                bound,
            )
            for _ in range(shape.layers)
        )
        for layer in self.layers:
            if layer.projection is not None:
                layer.projection.requires_grad_(train_projection)

    def check_frames(self, frames: int) -> None:
        """Checks that the clips have T frames, or a multiple of them."""
        if frames < self.frames or frames % self.frames:
            raise UserError(
                f"The clips have {frames} frames, but video_clip.vision_prompts are for {self.frames} frames, or a "
                f"multiple of them: set the data's clips.frames to {self.frames}."
            )

    def place(self, tokens: Tensor, frames: int) -> Tensor:
        """Adds the time embeddings to all tokens (B T, L, D)."""
        self.check_frames(frames)
        times = self.times.repeat_interleave(frames // self.frames, dim=0)
        placed: Tensor = (tokens.unflatten(0, (-1, frames)) + times[:, None]).flatten(0, 1)
        return placed

    def prompts(self, layer: int, class_tokens: Tensor) -> Tensor:
        """Returns local, global and summary prompts (B T, n, D) of a layer, from its class tokens (B T, D)."""
        prompts: Tensor = self.layers[layer](class_tokens.unflatten(0, (-1, self.frames)))
        return prompts.flatten(0, 1)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Numbers of learned vectors of a layer, whether it has summaries, and whether local prompts are projected."""

    local: int
    everywhere: int
    summary: bool
    projected: bool


class _LayerPrompts(nn.Module):
    """Prompts of one layer."""

    def __init__(self, shape: TowerShape, kinds: _Kinds, bound: float) -> None:
        super().__init__()
        self.projects_local = kinds.projected
        self.local_prompts = _uniform(kinds.local, shape.width, bound)
        self.global_prompts = _uniform(kinds.everywhere, shape.width, bound)
        # without a use, DDP would wait for its gradient
        used = kinds.summary or (kinds.projected and kinds.local)
        self.projection = nn.Linear(shape.width, shape.width) if used else None
        self.summary_norm = nn.LayerNorm(shape.width) if kinds.summary else None
        self.summary_attention = _FrameAttention(shape.width, shape.heads) if kinds.summary else None

    def forward(self, class_tokens: Tensor) -> Tensor:
        """Maps class tokens (B, T, D) to prompts (B, T, n, D)."""
        batch, frames, width = class_tokens.shape
        projected = class_tokens if self.projection is None else self.projection(class_tokens)
        parts = [class_tokens.new_empty(batch, frames, 0, width)]
        if self.local_prompts is not None:
            parts.append((self.local_prompts + (projected if self.projects_local else class_tokens))[:, None])
        if self.global_prompts is not None:
            parts.append(self.global_prompts[None, None])
        if self.summary_norm is not None and self.summary_attention is not None:
            parts.append((projected + self.summary_attention(self.summary_norm(projected)))[:, :, None])
        return torch.cat([part.expand(batch, frames, -1, -1) for part in parts], dim=2)


class _FrameAttention(nn.Module):
    """Attention of the frames of a clip to one another, without positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return output


def _uniform(number: int, width: int, bound: float) -> nn.Parameter | None:
    return nn.Parameter(torch.empty(number, width).uniform_(-bound, bound)) if number else None
