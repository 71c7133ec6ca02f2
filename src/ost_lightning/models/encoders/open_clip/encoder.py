"""Dual encoders of open_clip: towers of its own and of timm, with its tokenizers and preprocessing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName, vit_name
from ost_lightning.models.encoders.open_clip.source import CONFIG_FILE, WEIGHTS_FILE, Source, find_source, library
from ost_lightning.models.encoders.open_clip.tokenizer import load_open_clip_tokenizer
from ost_lightning.models.encoders.open_clip.weights import load_open_clip
from ost_lightning.models.encoders.pretrained.preprocessing import Preprocessing, Resize, read_clip_settings
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer

_RESIZE: Final[dict[str, Resize]] = {"shortest": "shortest_side", "squash": "squash"}
_TIMM_LAYERS: Final = ("blocks", "stages", "layers")
"""Names of the layers of a transformer, a convolutional network and Swin in timm."""


class OpenCLIPEncoder(DualEncoder):
    """A model of open_clip with a text tower of its own, which the configuration describes.

    Batch normalization, as in MobileCLIP, always uses its pre-trained statistics. They are no weights, so tuning and
    ensembling would otherwise mix statistics and weights that don't belong together, and the embedding of a frame would
    depend on its batch.
    """

    model_type: ClassVar[str] = "open_clip"

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        if model.logit_bias is not None:
            # it cancels in every softmax over classes: the gradient is rounding error, which Adam would amplify
            model.logit_bias.requires_grad_(False)
        self.train(self.training)

    @classmethod
    def load_model(cls, pretrained: str, attention: str = "sdpa") -> Any:
        """Loads only the model.

        Args:
            pretrained: Name of a model of open_clip; see `find_source`.
            attention: Attention implementation, only `sdpa`.

        Raises:
            CheckpointError: If the model doesn't exist, is not supported or is incomplete.
            UserError: If another attention implementation is asked for.
        """
        _require_sdpa(attention)
        return load_open_clip(find_source(pretrained))

    @classmethod
    def from_pretrained(cls, pretrained: str, attention: str = "sdpa") -> Self:
        """Loads a model.

        Args:
            pretrained: Name of a model of open_clip; see `find_source`.
            attention: Attention implementation, only `sdpa`.

        Raises:
            CheckpointError: If the model doesn't exist, is not supported or is incomplete.
        """
        _require_sdpa(attention)
        source = find_source(pretrained)
        tokenizer, preprocessing = load_open_clip_tokenizer(source), _preprocessing(source)
        return cls(load_open_clip(source), tokenizer, preprocessing)

    @classmethod
    def load_tokenizer(cls, pretrained: str) -> SentenceTokenizer:
        """Loads only the tokenizer, without any weights.

        Raises:
            CheckpointError: If the tokenizer is missing or belongs to another model.
        """
        return load_open_clip_tokenizer(find_source(pretrained))

    @classmethod
    def load_preprocessing(cls, pretrained: str) -> Preprocessing:
        """Reads only the preprocessing, without any weights.

        Raises:
            CheckpointError: If the configuration is malformed.
        """
        return _preprocessing(find_source(pretrained))

    @property
    def embedding_dim(self) -> int:
        """Width of the joint space."""
        width: int = self.model.config["embed_dim"]
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images (n, 3, S, S) as (n, d)."""
        features: Tensor = self.model.encode_image(pixels)
        return features

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d), computing only the positions that are read of a causal tower."""
        text, end = self.model.text, self.tokenizer.end_token
        if end is None:
            features: Tensor = self.model.encode_text(tokens)
            return features
        length = tokens.shape[1]
        states = text.token_embedding(tokens) + text.positional_embedding[:length]
        states = text.ln_final(text.transformer(states, attn_mask=text.attn_mask[:length, :length]))
        ends = (tokens == end).int().argmax(-1)
        pooled: Tensor = states[torch.arange(len(states), device=states.device), ends]
        if text.text_projection is None:
            return pooled
        linear = isinstance(text.text_projection, nn.Linear)
        projected: Tensor = text.text_projection(pooled) if linear else pooled @ text.text_projection
        return projected

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Logit scale, and bias if there is one."""
        scale, bias = self.model.logit_scale, self.model.logit_bias
        return (scale,) if bias is None else (scale, bias)

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """Learned bias of SigLIP's models; None for others."""
        bias: nn.Parameter | None = self.model.logit_bias
        return bias

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scales similarities, and adds the learned bias if there is one."""
        logits = super().similarity_to_logits(similarities)
        return logits if self.model.logit_bias is None else logits + self.model.logit_bias

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of all modules except batch normalization, which always uses its pre-trained statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower; the backbones include the projections."""
        if name == "text":
            text = self.model.text
            return Tower(text, (text.token_embedding, text.positional_embedding), text.transformer.resblocks)
        visual = self.model.visual
        if hasattr(visual, "trunk"):
            layers = next(getattr(visual.trunk, part) for part in _TIMM_LAYERS if hasattr(visual.trunk, part))
            return Tower(visual, tuple(_below(visual.trunk, layers)), layers)
        if hasattr(visual, "transformer"):
            below = (visual.conv1, visual.class_embedding, visual.positional_embedding, visual.ln_pre)
            return Tower(visual, below, visual.transformer.resblocks)
        stages = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)
        return Tower(visual, tuple(_below(visual, stages[0])), stages)

    def enable_gradient_checkpointing(self) -> None:
        """Has activations of both towers recomputed in the backward pass.

        Raises:
            UserError: If the vision tower has no support for it.
        """
        visual = self.model.visual
        try:
            if not hasattr(visual, "transformer"):
                visual.trunk.set_grad_checkpointing(True)  # open_clip only logs an error of timm
            self.model.set_grad_checkpointing(True)
        except (AttributeError, AssertionError) as error:
            raise UserError(
                f"The vision tower {self.backbone_name} has no gradient checkpointing: unset "
                "video_clip.gradient_checkpointing."
            ) from error

    @property
    def backbone_name(self) -> str:
        """Name of the vision tower: `ViT-B/16`, the blocks of a ResNet, or timm's name."""
        vision = self.model.config["vision_cfg"]
        if named := vision.get("timm_model_name"):
            return str(named)
        if not isinstance(layers := vision.get("layers", 12), int):
            return f"ResNet-{'-'.join(map(str, layers))}x{vision.get('width', 64)}"
        return vit_name(layers, vision.get("width", 768), vision.get("patch_size", 16), self.image_size)

    def vision_settings(self) -> dict[str, Any]:
        """Returns the settings that frame embeddings depend on, in addition to the weights."""
        config = self.model.config
        versions = {name: library(name).__version__ for name in ("open_clip", "timm")}
        return {**versions, **config["vision_cfg"], "quick_gelu": bool(config.get("quick_gelu"))}

    def save_pretrained(self, folder: Path, preprocessing: Preprocessing | None = None) -> None:
        """Writes the current weights, tokenizer and preprocessing as a folder that open_clip loads (`local-dir:`).

        Args:
            folder: Folder for the files.
            preprocessing: Preprocessing that the weights were trained with; None for the current one.
        """
        used = preprocessing or self.preprocessing
        pixels = {
            "size": used.image_size,
            "mode": "RGB",
            "mean": list(used.mean),
            "std": list(used.std),
            "interpolation": used.filter,
            "resize_mode": next(mode for mode, name in _RESIZE.items() if name == used.resize),
            "fill_color": 0,
        }
        config = {"model_cfg": self.model.config, "preprocess_cfg": pixels}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(f"{json.dumps(config, indent=2)}\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / WEIGHTS_FILE)
        self.tokenizer.save_pretrained(folder)
        used.save_clip_settings(folder)


def _require_sdpa(attention: str) -> None:
    if attention != "sdpa":
        raise UserError(f"video_clip.attention is {attention}, but models of open_clip have only sdpa: unset it.")


def _below(network: nn.Module, first: nn.Module) -> Iterator[nn.Module | nn.Parameter]:
    """Yields what comes before the layers: the network's own weights, and the modules that precede the first layer."""
    yield from network.parameters(recurse=False)
    for module in network.children():
        if module is first:
            return
        yield module


def _preprocessing(source: Source) -> Preprocessing:
    size, pixels = source.model["vision_cfg"].get("image_size", 224), source.pixels
    try:
        mean, std = (tuple(float(number) for number in pixels[key]) for key in ("mean", "std"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{CONFIG_FILE} of {source.name}: mean is {pixels['mean']!r} and std is {pixels['std']!r}, expected three "
            "numbers each. Repair the file."
        ) from error
    return Preprocessing(
        size if isinstance(size, int) else size[0],
        (red, green, blue),
        (red_std, green_std, blue_std),
        _RESIZE.get(pixels["resize_mode"], "shortest_side"),
        pixels["interpolation"],
        **(read_clip_settings(source.folder) if source.folder is not None else {}),
    )
