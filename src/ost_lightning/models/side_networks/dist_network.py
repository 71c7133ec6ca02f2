"""DiST: a 3D network beside a frozen vision tower, an integration branch between them, and two poolings."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.models.side_networks.base import SideNetwork

_STD: Final = 0.02
_CHANNELS_PER_HEAD: Final = 64
_STEM_FRAMES: Final = 5


class DiSTNetwork(SideNetwork):
    """A light 3D network that reads every frame, beside a frozen vision tower that reads some of them.

    After each layer of the tower, the integration branch takes the tower's tokens and exchanges features with the 3D
    network. Two cross-attentions then pool the branch: over the patches of a frame, and over frames.

    Source: Qing et al., "Disentangling spatial and temporal learning for efficient image-to-video transfer learning",
    ICCV 2023. The map from the branch to the 3D network behind the last layer, which the released code computes but
    doesn't use, is left out.

    Args:
        shape: Sizes of the vision tower, filled in by `SideTunedVideoCLIP`.
        embedding_dim: e, the width of the joint space, filled in by `SideTunedVideoCLIP`.
        integration_width: c, number of channels of the integration branch, a multiple of 64.
        temporal_width: m, number of channels of the 3D network.
        pooling_layers: Number of layers of the poolings.

    Raises:
        UserError: If a number is out of range.
    """

    def __init__(
        self,
        shape: TowerShape,
        embedding_dim: int,
        frames: int = 16,
        stride: int = 2,
        integration_width: int = 384,
        temporal_width: int = 96,
        pooling_layers: int = 4,
    ) -> None:
        super().__init__(frames, stride)
        _check(integration_width, temporal_width, pooling_layers)
        self.integration_width, self.temporal_width = integration_width, temporal_width
        self.pooling_layers = pooling_layers
        width, sparse, patch = integration_width, frames // stride, shape.patch_size
        kernel, step, padding = (_STEM_FRAMES, patch, patch), (1, patch, patch), (_STEM_FRAMES // 2, 0, 0)
        self.stem = nn.Conv3d(3, temporal_width, kernel, step, padding)
        self.layers = nn.ModuleList(
            _Exchange(shape.width, width, temporal_width, stride, sparse, last=index == shape.layers - 1)
            for index in range(shape.layers)
        )
        self.poolings = nn.ModuleList(_Pooling(width, sparse) for _ in range(pooling_layers))
        self.clip_query, self.frame_query = (nn.Parameter(torch.empty(width)) for _ in range(2))
        self.from_class_token = nn.Linear(shape.width, width)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, embedding_dim, bias=False)
        self._initialize()

    def forward(self, states: Sequence[Tensor], pixels: Tensor) -> Tensor:
        """Embeds clips from the tower's tokens after each layer, (B, t, 1 + P, D), and pixels (B, T, 3, S, S)."""
        batch, sparse = states[0].shape[:2]
        features = self.stem(pixels.transpose(1, 2))
        integrated = pixels.new_zeros(())
        for layer, tokens in zip(self.layers, states, strict=True):
            features, mixed, integrated = layer(features, tokens, integrated)
        tokens = (integrated + mixed).flatten(0, 1)
        frames = self.frame_query.expand(batch * sparse, 1, -1)
        clip = self.clip_query.expand(batch, 1, -1)
        for pooling in self.poolings:
            frames, clip = pooling(frames, clip, tokens)
        class_token = self.from_class_token(states[-1][:, :, 0].mean(1))
        embedded: Tensor = self.projection(self.norm(clip[:, 0] + class_token))
        return embedded

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                _normal(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for query in (self.clip_query, self.frame_query):
            _normal(query)
        nn.init.normal_(self.projection.weight, std=self.integration_width**-0.5)


class _Exchange(nn.Module):
    """One layer of the 3D network and of the integration branch, which exchange features."""

    def __init__(self, tower: int, width: int, temporal: int, stride: int, sparse: int, *, last: bool) -> None:
        super().__init__()
        self.stride = stride
        self.temporal_norm = nn.LayerNorm(temporal)
        self.over_time = nn.Conv3d(temporal, temporal, (3, 1, 1), padding=(1, 0, 0))
        self.over_space = nn.Conv3d(temporal, temporal, (1, 3, 3), padding=(0, 1, 1))
        self.from_tower = nn.Linear(tower, width)
        self.to_temporal = None if last else nn.Linear(width, temporal)
        self.from_temporal = nn.Conv3d(temporal, width, (stride, 1, 1), (stride, 1, 1))
        self.class_tokens = nn.Parameter(_normal(torch.empty(sparse, width)))
        self.token_norm, self.time_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.token_mlp = _MLP(width, width)
        self.time_in = nn.Conv3d(width, width // 4, 1)
        self.time_mix = nn.Conv3d(width // 4, width // 4, (3, 1, 1), padding=(1, 0, 0))
        self.time_out = nn.Conv3d(width // 4, width, 1)

    def forward(self, features: Tensor, tokens: Tensor, integrated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps features (B, m, T, g, g), tower tokens (B, t, 1 + P, D) and the branch to the next of each.

        Returns:
            Features, and the branch before and after its two networks, each (B, t, 1 + P, c).
        """
        normed = self.temporal_norm(features.movedim(1, -1)).movedim(-1, 1)
        features = _activated(features + self.over_space(_activated(self.over_time(normed))))
        branch = self.from_tower(tokens) + integrated
        patches = self.from_temporal(features).flatten(3).permute(0, 2, 3, 1)
        class_tokens = self.class_tokens[None, :, None].expand(patches.shape[0], -1, -1, -1)
        mixed = branch + torch.cat([class_tokens, patches], dim=2)
        if self.to_temporal is not None:
            back = self.to_temporal(branch[:, :, 1:]).permute(0, 3, 1, 2).unflatten(-1, features.shape[-2:])
            features = features + back.repeat_interleave(self.stride, dim=2)
        return features, mixed, self.token_mlp(self.token_norm(mixed)) + self._over_time(self.time_norm(mixed))

    def _over_time(self, tokens: Tensor) -> Tensor:
        """Relates each token (B, t, 1 + P, c) to the same token of the frames beside it."""
        hidden = self.time_mix(self.time_in(tokens.permute(0, 3, 1, 2)[..., None]))
        output: Tensor = self.time_out(_activated(hidden))[..., 0].permute(0, 2, 3, 1)
        return output


class _Pooling(nn.Module):
    """Cross-attention of a query per frame to the frame's tokens, and of a query per clip to these."""

    def __init__(self, width: int, sparse: int) -> None:
        super().__init__()
        self.over_patches, self.over_frames = _CrossAttention(width), _CrossAttention(width)
        self.positions = nn.Parameter(_normal(torch.empty(sparse, width)))

    def forward(self, frames: Tensor, clip: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Maps frame queries (B t, 1, c) and clip queries (B, 1, c) to the next ones."""
        frames = self.over_patches(frames, tokens)
        return frames, self.over_frames(clip, frames[:, 0].unflatten(0, (clip.shape[0], -1)) + self.positions)


class _CrossAttention(nn.Module):
    """Cross-attention and MLP, each with a residual connection; queries and tokens share one layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, width // _CHANNELS_PER_HEAD, batch_first=True)
        self.mlp = _MLP(width, 4 * width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Maps queries (n, 1, c) that read tokens (n, L, c)."""
        normed = self.norm(tokens)
        queries = queries + self.attention(self.norm(queries), normed, normed, need_weights=False)[0]
        output: Tensor = queries + self.mlp(self.mlp_norm(queries))
        return output


class _MLP(nn.Module):
    """Two linear layers with CLIP's activation between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (..., c) to (..., c)."""
        output: Tensor = self.down(_activated(self.up(tokens)))
        return output


def _activated(tensor: Tensor) -> Tensor:
    """CLIP's quick GELU."""
    return tensor * F.sigmoid(1.702 * tensor)


def _normal(tensor: Tensor) -> Tensor:
    return nn.init.trunc_normal_(tensor, std=_STD, a=-2, b=2)


def _check(integration_width: int, temporal_width: int, pooling_layers: int) -> None:
    """Checks the sizes of the branches."""
    if integration_width < _CHANNELS_PER_HEAD or integration_width % _CHANNELS_PER_HEAD:
        raise UserError(
            f"video_clip.side_network.integration_width is {integration_width}: expected a multiple of "
            f"{_CHANNELS_PER_HEAD}, the channels of an attention head."
        )
    for name, value in (("temporal_width", temporal_width), ("pooling_layers", pooling_layers)):
        if value < 1:
            raise UserError(f"video_clip.side_network.{name} is {value}: expected at least 1.")
