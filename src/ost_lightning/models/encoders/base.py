"""The interface between this package and pre-trained dual encoders."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import torch
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.encoders.pretrained.loading import load_model, load_tokenizer, read_config
from ost_lightning.models.encoders.pretrained.preprocessing import (
    NAMED_STATISTICS,
    Preprocessing,
    Resize,
    StatisticsName,
    read_preprocessing,
)
from ost_lightning.models.encoders.towers.end_token import check_start_token, correct_end_token, end_token
from ost_lightning.models.encoders.towers.fp8_linear import require_fp8, use_fp8_products
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TowerName = Literal["vision", "text"]
TOWERS: Final[tuple[TowerName, ...]] = ("vision", "text")

_SIZES: Final = {768: "B", 1024: "L", 1280: "H"}
_IGNORED_SETTINGS: Final = frozenset({"_name_or_path", "architectures", "dtype", "transformers_version"})


@dataclass(frozen=True, slots=True)
class Tower:
    """Parts of one tower, for freezing, layer decay, adapters, sharding and compilation.

    Attributes:
        backbone: The tower without its projection.
        embeddings: Modules and single weights below the first layer.
        layers: Transformer layers, or stages of a convolutional network, from input to output.
        projection: Linear map to the joint space; None if the tower has none or the backbone contains it.
        attention: Names of the linear layers of attention, from a layer of the tower down.
    """

    backbone: nn.Module
    embeddings: tuple[nn.Module | nn.Parameter, ...]
    layers: nn.ModuleList | nn.Sequential | tuple[nn.Module, ...]
    projection: nn.Module | None = None
    attention: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj")

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """Backbone and, if there is one, projection."""
        return (self.backbone,) if self.projection is None else (self.backbone, self.projection)

    @property
    def embedding_parameters(self) -> Iterator[nn.Parameter]:
        """All weights below the first layer."""
        for part in self.embeddings:
            yield from [part] if isinstance(part, nn.Parameter) else part.parameters()

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights of the tower."""
        for part in self.parts:
            yield from part.parameters()


class DualEncoder(nn.Module, ABC):
    """Maps pixels and sentences to vectors in one space: a Hugging Face model and the specifics of its kind.

    To add a kind of encoder, write a subclass in its own file and list it in `encoders/__init__`.

    Attributes:
        model_type: Name of the architecture in config.json.
        architecture: Class of the Hugging Face model.
        statistics: Mean and standard deviation of pixels for checkpoints that don't specify them.
        resize: Resizing for checkpoints that don't specify it.
        fixed_length: Whether the text tower attends to padding, so that sentences are always padded to all positions.
        read_at: Token at which the text tower is read: the `end` or `start` token that the tokenizer adds, which
            loading checks; None if it is read elsewhere.
        unembedded_tokens: Number of tokens that the checkpoints' tokenizer has beyond the model's vocabulary.
        canonicalize: Function applied to a sentence before it is tokenized; None for no change.
        unit_length: Whether embeddings are L2-normalized. If not, they are for matchers from `adapt_matcher`, which
            normalize them.
        trainable: Whether the encoder can be tuned; if not, it is for evaluation only.
        relates_frames: Whether the embedding of a frame depends on the other frames of its clip.
        model: The Hugging Face model.
        tokenizer: Tokenizer of the checkpoint.
        preprocessing: Preprocessing that the checkpoint expects.
        fp8: Whether the linear layers of the vision tower compute in 8-bit floating point; see `use_fp8`.
        cpu_precision: Precision in which a CPU embeds frames without gradients; see `use_cpu_precision`.

    Args:
        model: The Hugging Face model.
        tokenizer: Tokenizer of the checkpoint.
        preprocessing: Preprocessing that the checkpoint expects.
    """

    model_type: ClassVar[str]
    architecture: "ClassVar[type[PreTrainedModel]]"
    statistics: ClassVar[StatisticsName] = "clip"
    resize: ClassVar[Resize] = "shortest_side"
    fixed_length: ClassVar[bool] = False
    read_at: ClassVar[Literal["end", "start"] | None] = "end"
    unembedded_tokens: ClassVar[int] = 0
    canonicalize: ClassVar[Callable[[str], str] | None] = None
    unit_length: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    relates_frames: ClassVar[bool] = False
    fp8: bool = False

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.tokenizer, self.preprocessing = tokenizer, preprocessing
        self.cpu_precision: Literal["fp32", "bf16"] = "fp32"

    @classmethod
    def from_pretrained(cls, pretrained: str, attention: str = "sdpa") -> Self:
        """Loads a checkpoint.

        Args:
            pretrained: Hub id, folder, or name of a tiny model, of this class's `model_type`.
            attention: Attention implementation, by its name in transformers.

        Raises:
            CheckpointError: If the model doesn't exist or is incomplete.
        """
        preprocessing = cls.load_preprocessing(pretrained)
        model = cls.load_model(pretrained, attention)
        return cls(model, cls._tokenizer(pretrained, model.config), preprocessing)

    @classmethod
    def load_model(cls, pretrained: str, attention: str = "sdpa") -> Any:
        """Loads only the model, as the constructor expects it.

        Args:
            pretrained: Hub id, folder, or name of a tiny model, of this class's `model_type`.
            attention: Attention implementation, by its name in transformers.

        Raises:
            CheckpointError: If the model doesn't exist or is incomplete.
        """
        return load_model(cls.architecture, pretrained, attention)

    @classmethod
    def load_tokenizer(cls, pretrained: str) -> SentenceTokenizer:
        """Loads only the tokenizer, without any weights.

        Raises:
            CheckpointError: If the tokenizer is missing or belongs to another model.
        """
        return cls._tokenizer(pretrained, read_config(pretrained))

    @classmethod
    def load_preprocessing(cls, pretrained: str) -> Preprocessing:
        """Reads only the preprocessing, without any weights.

        Raises:
            CheckpointError: If the checkpoint's pixel statistics are malformed.
        """
        return cls._preprocessing(pretrained, read_config(pretrained))

    @classmethod
    def _preprocessing(cls, pretrained: str, config: Any) -> Preprocessing:
        known = NAMED_STATISTICS[cls.statistics]
        default = Preprocessing(_side(config.vision_config.image_size, pretrained), known.mean, known.std, cls.resize)
        return read_preprocessing(pretrained, default)

    @classmethod
    def _tokenizer(cls, pretrained: str, config: Any) -> SentenceTokenizer:
        text, end = config.text_config, None
        tokenizer = load_tokenizer(pretrained, text.vocab_size, cls.unembedded_tokens)
        if cls.read_at == "end":
            end = end_token(tokenizer, pretrained)
            correct_end_token(text, tokenizer, end)
        elif cls.read_at == "start":
            check_start_token(tokenizer, pretrained)
        cls._check_tokenizer(tokenizer, pretrained)
        return SentenceTokenizer(tokenizer, cls._positions(text), cls.fixed_length, cls.canonicalize, end)

    @classmethod
    def _check_tokenizer(cls, tokenizer: "PreTrainedTokenizerBase", pretrained: str) -> None:
        """Checks what the tokenizer adds to sentences, where that is special.

        Raises:
            CheckpointError: If the tokenizer belongs to another model.
        """

    @classmethod
    def _positions(cls, text: Any) -> int:
        """Returns the largest number of tokens of a sentence, from the configuration of the text tower."""
        positions: int = text.max_position_embeddings
        return positions

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """d, the width of the embeddings."""

    @abstractmethod
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images.

        Args:
            pixels: Normalized pixels, fp32 (n, 3, S, S).

        Returns:
            (n, d), not normalized.
        """

    def encode_with_attention(self, pixels: Tensor) -> tuple[Tensor, VisionAttention]:
        """Embeds images, and returns the attention of the vision tower.

        Args:
            pixels: Normalized pixels, fp32 (n, 3, S, S).

        Returns:
            Embeddings (n, d), not normalized, and the attention, which gradients flow to from the embeddings.

        Raises:
            UserError: If an image's embedding is not computed by attention to its own patches alone.
        """
        raise UserError(
            f"There are no attention maps for {self.model_type}: they need an encoder whose frames are embedded one by "
            "one, by attention to their patches, such as clip or siglip."
        )

    @abstractmethod
    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences.

        Args:
            tokens: Token ids from this encoder's tokenizer, int64 (n, L).
            lengths: Number of tokens of each sentence, without padding, int64 (n,).

        Returns:
            (n, d), not normalized.
        """

    @abstractmethod
    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower."""

    def vision_modules(self) -> tuple[nn.Module, ...]:
        """Modules that do the work of `encode_clips`, each called as a whole, for `torch.compile`."""
        return (self.tower("vision").backbone,)

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Weights of `similarity_to_logits`, all scalars."""
        return (self.model.logit_scale,)

    @property
    def added_parameters(self) -> Iterator[nn.Parameter]:
        """Weights for videos, which the pre-training on images did not have."""
        return iter(())

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """Bias with which logits are log-odds that image and text match; None if they only compare texts."""
        return None

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scales cosine similarities by the learned inverse temperature."""
        logits: Tensor = self.model.logit_scale.exp() * similarities
        return logits

    def encode_clips(self, pixels: Tensor) -> Tensor:
        """Embeds clips, each frame separately unless the encoder relates frames.

        Args:
            pixels: Normalized pixels, fp32 (B, T, 3, S, S).

        Returns:
            (B, T, d), not normalized.
        """
        features: Tensor = self.encode_pixels(pixels.flatten(0, 1)).unflatten(0, tuple(pixels.shape[:2]))
        return features

    def arithmetic(self) -> AbstractContextManager[object]:
        """Returns a context for embedding frames in the precision that was set."""
        lower = self.cpu_precision == "bf16" and self.device.type == "cpu" and not torch.is_grad_enabled()
        return torch.autocast("cpu", torch.bfloat16) if lower else nullcontext()

    @property
    def unusual_precision(self) -> dict[str, str]:
        """Name of the precision of frame embeddings under the key `precision`; empty for the usual one, fp32."""
        if self.fp8:
            return {"precision": "fp8 in the vision tower"}
        return {} if self.cpu_precision == "fp32" else {"precision": f"{self.cpu_precision} on a CPU"}

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """Returns the matcher to use with this encoder: the same one, or a wrapper if texts depend on the video."""
        return matcher

    @property
    def image_size(self) -> int:
        """Side of the square that the vision tower reads, in pixels."""
        return self.preprocessing.image_size

    @property
    def end_token(self) -> int:
        """Id of the end token, at which the text tower is read.

        Raises:
            ValueError: If the text tower is not read at an end token.
        """
        if self.tokenizer.end_token is None:
            raise ValueError("the text tower is not read at an end token")
        return self.tokenizer.end_token

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.logit_parameters[0].device

    @property
    def backbone_name(self) -> str:
        """Name of the vision transformer: `ViT-B/16`, or layers, width and patch size if it has no standard size."""
        vision = self.model.config.vision_config
        return vit_name(vision.num_hidden_layers, vision.hidden_size, vision.patch_size, self.image_size)

    def enable_gradient_checkpointing(self) -> None:
        """Has activations of both towers recomputed in the backward pass.

        Raises:
            UserError: If the architecture has no support for it.
        """
        with warnings.catch_warnings():
            # the oldest supported transformers doesn't have the replacement yet
            warnings.simplefilter("ignore", FutureWarning)
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def use_fp8(self, devices: Iterable[torch.device]) -> None:
        """Has the linear layers within the vision tower's layers compute in fp8, for inference.

        Embeddings change a little. Weights keep their names and values.

        Args:
            devices: Devices that will compute.

        Raises:
            UserError: If a device can't compute in fp8, there are no such layers, or a CPU is to compute in bf16.
        """
        if self.cpu_precision != "fp32":
            raise UserError(f"cpu_precision is {self.cpu_precision}, which fp8 excludes: omit one of them.")
        for device in devices:
            require_fp8(device)
        if not use_fp8_products(self.tower("vision").layers):
            raise UserError(f"The vision tower of {self.model_type} has no linear layers that can compute in fp8.")
        self.fp8 = True

    def vision_settings(self) -> dict[str, Any]:
        """Returns the settings that frame embeddings depend on, in addition to the weights."""
        config = self.model.config
        settings = config.vision_config.to_dict()
        vision = {name: value for name, value in settings.items() if name not in _IGNORED_SETTINGS}
        return {"attention": config._attn_implementation, **vision}

    def save_pretrained(self, folder: Path, preprocessing: Preprocessing | None = None) -> None:
        """Writes the current weights, the tokenizer and the preprocessing as a folder in HF format.

        Args:
            folder: Folder for the files.
            preprocessing: Preprocessing that the weights were trained with; None for the current one.
        """
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (preprocessing or self.preprocessing).save(folder)


def vit_name(layers: int, width: int, patch_size: int, image_size: int) -> str:
    """Returns the name of a vision transformer, such as `ViT-B/16`; layers and width if it has no standard size."""
    size = _SIZES.get(width) if layers >= 12 else None
    name = f"ViT-{size}" if size else f"ViT-{layers}x{width}"
    pixels = f" at {image_size}" if image_size != 224 else ""
    return f"{name}/{patch_size}{pixels}"


def _side(size: int | Sequence[int], pretrained: str) -> int:
    """Returns the side of the square that a vision tower reads, in pixels."""
    sides = [size] if isinstance(size, int) else size
    if len({*sides}) != 1 or sides[0] < 1:
        raise CheckpointError(
            f"config.json of {pretrained}: image_size is {size}, expected one number or two equal ones, greater "
            "than 0, because frames are cropped to squares."
        )
    return sides[0]
