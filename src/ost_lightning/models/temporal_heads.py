"""Temporal heads, which relate or pool the frame embeddings of a clip before they are matched."""

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from torch import Tensor, nn

from ost_lightning.errors import UserError

_CHANNELS_PER_HEAD: Final = 64  # as in every CLIP
_PLAIN_POSITIONS_STD: Final = 0.01


class TemporalHead(nn.Module, ABC):
    """Relates the frames of a clip, or pools them, before the embeddings are normalized.

    Attributes:
        pools: Whether the output has one embedding per clip instead of one per frame.
        averages: Whether the output is the plain mean of the frames, so that no frame affects what another contributes.
        learns_positions: Whether it learns an embedding of each frame's position, so that it can't be used with more
            frames than it was trained with.

    Args:
        width: d, the width of the embeddings, filled in by `VideoCLIP`.
    """

    pools: bool
    averages: ClassVar[bool] = False
    learns_positions: ClassVar[bool] = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, frames: Tensor) -> Tensor:
        """Relates or pools the frames of each clip.

        Args:
            frames: Frame embeddings (B, T, d), projected but not normalized.

        Returns:
            (B, T, d), or (B, 1, d) if the frames are pooled.
        """


class MeanPooling(TemporalHead):
    """ViFi-CLIP's clip embedding: the mean of the frames before normalization (Rasheed et al., CVPR 2023).

    Without this head, matchers average frames that were normalized one by one, as OST does.
    """

    pools = True
    averages: ClassVar[bool] = True

    def forward(self, frames: Tensor) -> Tensor:
        """Maps (B, T, d) to (B, 1, d)."""
        return frames.mean(1, keepdim=True)


class TemporalTransformer(TemporalHead):
    r"""A transformer over the frames with a residual connection around it: the head of ActionCLIP and Text4Vis.

    .. math:: V' = V + f(V + E_{1..T})

    where f is a stack of pre-norm blocks with CLIP's activation and E are learned position embeddings. Both methods
    average V' (`pool`). Without pooling, its T embeddings are what the OD Solver matches on top of Text4Vis (Table 3).

    Sources: Wang et al., "ActionCLIP", 2021; Wu et al., "Revisiting Classifier", AAAI 2023.

    Attributes:
        layer_norm_eps: Term that layer norms add to the variance.
        has_skip: Whether there is a residual connection around the stack of blocks.

    Args:
        layers: Number of blocks.
        heads: Number of attention heads; None for one per 64 channels.
        positions: Number of position embeddings, the largest possible T.
        pool: Whether to average the frames.
    """

    learns_positions: ClassVar[bool] = True
    layer_norm_eps: ClassVar[float] = 1e-12
    has_skip: ClassVar[bool] = True

    def __init__(
        self, width: int, layers: int = 6, heads: int | None = None, positions: int = 77, pool: bool = True
    ) -> None:
        super().__init__(width)
        self.pool = self.pools = pool
        self.positions = nn.Embedding(positions, width)
        heads = heads or max(1, width // _CHANNELS_PER_HEAD)
        self.blocks = nn.Sequential(*(_block(width, heads, self.layer_norm_eps) for _ in range(layers)))
        self._initialize()

    def forward(self, frames: Tensor) -> Tensor:
        """Maps (B, T, d) to (B, T, d), or to (B, 1, d) if pooled.

        Raises:
            UserError: If there are more frames than position embeddings.
        """
        length = frames.shape[1]
        if length > self.positions.num_embeddings:
            raise UserError(
                f"The clips have {length} frames, but the temporal head has {self.positions.num_embeddings} positions: "
                "increase its `positions`, or decrease the data's clips.frames."
            )
        related: Tensor = self.blocks(frames + self.positions.weight[:length])
        if self.has_skip:
            related = frames + related
        return related.mean(1, keepdim=True) if self.pool else related

    def _initialize(self) -> None:
        self.apply(_initialize)


class PlainTemporalTransformer(TemporalTransformer):
    r"""A transformer over the frames without a residual connection around it: the head of A5.

    .. math:: V' = f(V + E_{1..T})

    Its blocks have PyTorch's initialization, so that it changes the frames of the pre-trained encoder from the start.

    Source: Ju et al., "Prompting visual-language models for efficient video understanding", ECCV 2022.
    """

    layer_norm_eps: ClassVar[float] = 1e-5
    has_skip: ClassVar[bool] = False

    def __init__(
        self, width: int, layers: int = 1, heads: int | None = None, positions: int = 16, pool: bool = True
    ) -> None:
        super().__init__(width, layers, heads, positions, pool)

    def _initialize(self) -> None:
        nn.init.normal_(self.positions.weight, std=_PLAIN_POSITIONS_STD)


def _block(width: int, heads: int, layer_norm_eps: float) -> nn.TransformerEncoderLayer:
    from transformers.activations import QuickGELUActivation  # takes half a second, and few models have this head

    return nn.TransformerEncoderLayer(
        width,
        heads,
        dim_feedforward=4 * width,
        dropout=0.0,
        activation=QuickGELUActivation(),
        layer_norm_eps=layer_norm_eps,
        batch_first=True,
        norm_first=True,
    )


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
