"""X-CLIP: attention across frames, and class texts that are prompted by the video (Ni et al., ECCV 2022)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel, PreTrainedModel, XCLIPConfig, XCLIPModel

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.models.encoders.pretrained.loading import load_model, model_type_of
from ost_lightning.models.encoders.pretrained.preprocessing import StatisticsName
from ost_lightning.models.encoders.towers.end_token import embed_end_tokens
from ost_lightning.models.encoders.towers.pixels import as_patch_convolution
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention

_ADDED: Final = re.compile(r"mit\.|prompts_|vision_model\.encoder\.layers\.\d+\.message_")
_CHANNELS_PER_HEAD: Final = 64
_TEXT: Final = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TEXT_TOO: Final = ("max_position_embeddings", "hidden_act", "layer_norm_eps")
_TOKENS: Final = ("bos_token_id", "eos_token_id", "pad_token_id")
_VISION: Final = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels")
_VISION_TOO: Final = ("image_size", "patch_size", "hidden_act", "layer_norm_eps")


class XCLIPEncoder(DualEncoder):
    """An `XCLIPModel`.

    Combined with the matcher `CategoryName` this is X-CLIP. Its texts depend on the video, so its embeddings only work
    with matchers from `adapt_matcher`. `from_image_clip` makes one of a CLIP, for training.
    """

    model_type: ClassVar[str] = "xclip"
    architecture: ClassVar[type[PreTrainedModel]] = XCLIPModel
    statistics: ClassVar[StatisticsName] = "imagenet"
    unit_length: ClassVar[bool] = False
    relates_frames: ClassVar[bool] = True

    @classmethod
    def from_image_clip(
        cls, pretrained: str, frames: int, prompt_layers: int, prompt_alpha: float, attention: str = "sdpa"
    ) -> Self:
        """Makes an X-CLIP of a CLIP: its weights, and new ones that relate frames, as the released code draws them.

        Args:
            pretrained: Hub id, folder, or name of a tiny model, of type `clip`.
            frames: Number of frames of a clip, T.
            prompt_layers: Number of layers that prompt the texts.
            prompt_alpha: Scale of the prompts at the start.
            attention: Attention implementation, by its name in transformers.

        Raises:
            CheckpointError: If the checkpoint is no CLIP, or incomplete.
        """
        model_type = model_type_of(pretrained)
        if model_type != "clip":
            raise CheckpointError(
                f"{pretrained} is a model of type '{model_type}', but X-CLIP starts from a CLIP: set "
                "video_clip.pretrained to one, such as openai/clip-vit-base-patch16."
            )
        clip = load_model(CLIPModel, pretrained, attention)
        config = x_clip_config(
            clip.config, frames=frames, prompt_layers=prompt_layers, prompt_alpha=prompt_alpha, attention=attention
        )
        model: Any = XCLIPModel(config).float()
        embeddings = model.vision_model.embeddings
        embeddings.patch_embedding = as_patch_convolution(embeddings.patch_embedding)
        initialize_added_weights(model)
        model.load_state_dict(names_in_x_clip(clip.state_dict()), strict=False)
        return cls(model, cls._tokenizer(pretrained, model.config), CLIPEncoder.load_preprocessing(pretrained))

    @property
    def added_parameters(self) -> Iterator[nn.Parameter]:
        """Weights that relate frames and prompt texts, which a CLIP doesn't have."""
        for name, parameter in self.model.named_parameters():
            if is_added(name):
                yield parameter

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


def is_added(name: str) -> bool:
    """Returns whether a weight of an `XCLIPModel` has no counterpart in a CLIP."""
    return _ADDED.match(name) is not None


def names_in_x_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights of a `CLIPModel` under the names of an `XCLIPModel`."""
    return {name.replace("pre_layrnorm", "pre_layernorm"): weight for name, weight in weights.items()}


def x_clip_config(
    clip: Any,
    *,
    frames: int,
    prompt_layers: int,
    prompt_alpha: float = 0.1,
    integration_layers: int = 1,
    attention: str = "sdpa",
) -> XCLIPConfig:
    """Returns the configuration of an X-CLIP with the sizes of a CLIP.

    Args:
        clip: Configuration of the CLIP.
        frames: Number of frames of a clip, T.
        prompt_layers: Number of layers that prompt the texts.
        prompt_alpha: Scale of the prompts at the start.
        integration_layers: Number of layers that integrate the frames.
        attention: Attention implementation, by its name in transformers.
    """
    text, vision, width = clip.text_config, clip.vision_config, clip.projection_dim
    heads = max(1, width // _CHANNELS_PER_HEAD)
    config = XCLIPConfig(
        text_config={name: getattr(text, name) for name in (*_TEXT, *_TEXT_TOO, *_TOKENS)},
        vision_config={
            **{name: getattr(vision, name) for name in (*_VISION, *_VISION_TOO)},
            "num_frames": frames,
            "mit_hidden_size": width,
            "mit_intermediate_size": 4 * width,
            "mit_num_attention_heads": heads,
            "mit_num_hidden_layers": integration_layers,
        },
        projection_dim=width,
        prompt_layers=prompt_layers,
        prompt_alpha=prompt_alpha,
        prompt_num_attention_heads=heads,
    )
    config._attn_implementation = attention
    return config


@torch.no_grad()
def initialize_added_weights(model: Any) -> None:
    """Draws the weights that a CLIP doesn't have, from the distributions of the released code.

    Args:
        model: An `XCLIPModel`.
    """
    for layer in model.vision_model.encoder.layers:
        layer.message_fc.reset_parameters()
        layer.message_attn.out_proj.reset_parameters()
        _initialize_attention(layer.message_attn)
    nn.init.trunc_normal_(model.mit.position_embedding, std=0.02)
    for layer in model.mit.encoder.layers:
        _initialize_attention(layer.self_attn)
        for linear in (layer.self_attn.out_proj, layer.mlp.fc1, layer.mlp.fc2):
            _initialize_linear(linear)
    for module in model.prompts_generator.modules():
        if isinstance(module, nn.Linear):
            _initialize_linear(module)
    nn.init.normal_(model.prompts_visual_projection)


def _initialize_attention(attention: Any) -> None:
    """Draws q, k and v as `torch.nn.MultiheadAttention` does, for which they are one matrix; all biases are zero."""
    limit = (6 / (4 * attention.q_proj.in_features)) ** 0.5
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        nn.init.uniform_(part.weight, -limit, limit)
        nn.init.zeros_(part.bias)
    nn.init.zeros_(attention.out_proj.bias)


def _initialize_linear(linear: nn.Linear) -> None:
    nn.init.trunc_normal_(linear.weight, std=0.02)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
