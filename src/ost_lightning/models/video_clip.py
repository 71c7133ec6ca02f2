"""CLIP on videos: frames and sentences become unit vectors of one space."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPModel, PreTrainedModel, PreTrainedTokenizerBase

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.checkpoints.initial_weights import CheckpointError, checkpoint_weights, refuse_other_weights
from ost_lightning.models.class_token import as_class_token_layer
from ost_lightning.models.encoders.preprocessing import Preprocessing
from ost_lightning.models.pixels import PixelNormalization, as_patch_convolution
from ost_lightning.models.temporal_heads import TemporalHead
from ost_lightning.resources import TINY_CLIP, tiny_clip_folder
from ost_lightning.text import SentenceSet
from ost_lightning.vocabulary import SentenceKind

PixelStatistics = Literal["clip", "imagenet"]
_Colors = tuple[float, float, float]
_STATISTICS: Final[dict[PixelStatistics, tuple[_Colors, _Colors]]] = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((123.675 / 255, 116.28 / 255, 103.53 / 255), (58.395 / 255, 57.12 / 255, 57.375 / 255)),
}
_SENTENCES_A_PASS: Final = 512
_HEAD_FILE: Final = "temporal_head.safetensors"

FrameEmbeddings = Tensor
"""V: (B, T, d), L2-normalized."""

DescriptorEmbeddings = Mapping[SentenceKind, Tensor]
"""kind -> (K, N, d), L2-normalized: D^s, D^t and the category names."""


@dataclass(frozen=True, slots=True)
class TokenizedSentences:
    """Sentences of all classes as token ids, in host memory.

    Attributes:
        tokens: kind -> int64 (K, N, L), padded.
        lengths: kind -> int64 (K, N), start and end token included.
    """

    tokens: Mapping[SentenceKind, Tensor]
    lengths: Mapping[SentenceKind, Tensor]

    def select(self, classes: Tensor) -> Self:
        """The sentences of some classes (int64 (U,), in host memory), in that order."""
        pick = {kind: rows[classes] for kind, rows in self.tokens.items()}
        return type(self)(pick, {kind: rows[classes] for kind, rows in self.lengths.items()})


class VideoCLIP(nn.Module):
    """A Hugging Face `CLIPModel` that reads clips and sentences.

    Args:
        pretrained: Hub id (`openai/clip-vit-base-patch16`), folder in HF format, or `tiny`, which comes with the
            package.
        freeze_vision: Keep the vision tower and its projection as they are.
        freeze_text: Keep the text tower and its projection as they are.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, about a third more time.
        attention: Attention kernels; `eager` is for looking at attention maps, and computes the vision tower's last
            layer for all tokens instead of the class token alone.
        pixel_statistics: Mean and deviation that pixels are normalized with: CLIP's own, or ImageNet's, which the
            released OST and ViFi-CLIP weights were tuned with.
        tuned_from: Hub id or folder of the CLIP that `pretrained` was tuned from, which is then the original of
            weight-space ensembling; `pretrained` itself if not given.
        temporal_head: Makes a head for embeddings of a given width, which stands between the frames and their
            normalization; its weights are new unless the folder `pretrained` has them.
        init_from: Weights to begin with: a checkpoint that training wrote (`.ckpt`) or a folder in HF format. Nothing
            but the weights is taken, so a training has a schedule of its own; `--ckpt_path` goes on with the old one.
            `pretrained` (or `tuned_from`) stays what weight-space ensembling mixes with.

    Raises:
        CheckpointError: If there is no such model, or its weights are missing or incomplete.
    """

    architecture: ClassVar[type[PreTrainedModel]] = CLIPModel

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        freeze_vision: bool = False,
        freeze_text: bool = False,
        gradient_checkpointing: bool = False,
        attention: Literal["sdpa", "eager"] = "sdpa",
        pixel_statistics: PixelStatistics = "clip",
        tuned_from: str | None = None,
        temporal_head: Callable[[int], TemporalHead] | None = None,
        init_from: Path | None = None,
    ) -> None:
        super().__init__()
        self.pretrained, self.freeze_text = pretrained, freeze_text
        self.tuned_from = tuned_from or pretrained
        self.pixel_statistics, self.init_from = pixel_statistics, init_from
        self.clip = load_clip(self.architecture, pretrained, attention).train()
        if self.architecture is CLIPModel and attention != "eager":
            layers = self.clip.vision_model.encoder.layers
            layers[-1] = as_class_token_layer(layers[-1])
        self.temporal_head = temporal_head(self.clip.config.projection_dim) if temporal_head is not None else None
        _load_head(self.temporal_head, pretrained)
        self.tokenizer = load_tokenizer(pretrained, self.clip.config.text_config.vocab_size)
        self.freeze_vision = freeze_vision
        for frozen, tower, projection in (
            (freeze_vision, self.clip.vision_model, self.clip.visual_projection),
            (freeze_text, self.clip.text_model, self.clip.text_projection),
        ):
            for part in (tower, projection):
                part.requires_grad_(not frozen)
        if gradient_checkpointing:
            with warnings.catch_warnings():
                # its successor is not there yet in the oldest transformers that we support
                warnings.simplefilter("ignore", FutureWarning)
                self.clip.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.normalization = PixelNormalization(*_STATISTICS[pixel_statistics])
        if init_from is not None:
            self._begin_with(init_from)

    @property
    def image_size(self) -> int:
        """Pixels of the square that the vision tower reads."""
        size: int = self.clip.config.vision_config.image_size
        return size

    @property
    def preprocessing(self) -> Preprocessing:
        """What the checkpoint expects of the pixels that it is given."""
        return Preprocessing(self.image_size, *_STATISTICS[self.pixel_statistics])

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature, exponentiated."""
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    def encode_frames(self, frames: Tensor) -> FrameEmbeddings:
        """Embeds every frame by itself; a temporal head then relates or pools the frames of a clip.

        Args:
            frames: uint8 (B, T, 3, S, S), 0 to 255, with S the model's image size.

        Returns:
            fp32 (B, T, d), L2-normalized; (B, 1, d) if the head pools.

        Raises:
            UserError: If the frames have another size.
        """
        pixels = self._pixels(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_vision):
            features = self.clip.get_image_features(pixel_values=pixels).pooler_output
        embedded: Tensor = features.unflatten(0, tuple(frames.shape[:2]))
        if self.temporal_head is not None:
            embedded = self.temporal_head(embedded)
        return F.normalize(embedded.float(), dim=-1)

    def tokenize(self, sentences: SentenceSet) -> TokenizedSentences:
        """Token ids by the checkpoint's own tokenizer.

        Warns:
            UserWarning: If sentences are longer than the text tower's positions and are cut.
        """
        positions = self.clip.config.text_config.max_position_embeddings
        tokens, lengths = {}, {}
        for kind, rows in sentences.sentences.items():
            flat = [sentence for row in rows for sentence in row]
            encoded = self.tokenizer(
                flat, padding=True, truncation=True, max_length=positions, return_tensors="pt", return_length=True
            )
            cut = [
                text
                for text, length in zip(flat, self.tokenizer(flat)["input_ids"], strict=True)
                if len(length) > positions
            ]
            if cut:
                warnings.warn(
                    f"{len(cut)} of {len(flat)} {kind} sentences have more than {positions} tokens and are cut: "
                    f"'{cut[0]}'",
                    stacklevel=2,
                )
            shape = (len(rows), len(rows[0]))
            tokens[kind] = encoded["input_ids"].view(*shape, -1)
            lengths[kind] = encoded["attention_mask"].sum(-1).view(shape)
        return TokenizedSentences(tokens, lengths)

    def encode_sentences(self, sentences: TokenizedSentences) -> DescriptorEmbeddings:
        """Embeds sentences, padded to the longest of a pass.

        Returns:
            kind -> fp32 (K, N, d), L2-normalized.
        """
        tokens = [row for kind in sentences.tokens for row in sentences.tokens[kind].flatten(0, 1).unbind()]
        lengths = torch.cat([sentences.lengths[kind].flatten() for kind in sentences.tokens])
        embedded = []
        for start in range(0, len(tokens), _SENTENCES_A_PASS):
            longest = int(lengths[start : start + _SENTENCES_A_PASS].max())
            part = torch.stack([_to_length(row, longest) for row in tokens[start : start + _SENTENCES_A_PASS]])
            embedded.append(self.encode_tokens(part))
        sizes = [sentences.tokens[kind].shape[:2] for kind in sentences.tokens]
        parts = torch.cat(embedded).split([rows * columns for rows, columns in sizes])
        return {
            kind: part.unflatten(0, tuple(size))
            for kind, part, size in zip(sentences.tokens, parts, sizes, strict=True)
        }

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Similarities (B, K), scaled by the learned inverse temperature."""
        return self.logit_scale * similarities

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """The matcher that takes this encoder's embeddings: the same one, or a wrapper where texts depend on videos."""
        return matcher

    def original_parameters(self) -> dict[str, Tensor]:
        """The pre-trained weights, by the names that `named_parameters` gives, in host memory.

        New modules have no earlier weights: for them these are the present ones, so that mixing leaves them alone.

        Raises:
            CheckpointError: If the CLIP that this one was tuned from is of another shape.
        """
        original = {
            f"clip.{name}": parameter.detach()
            for name, parameter in load_clip(self.architecture, self.tuned_from, "sdpa").named_parameters()
        }
        own = dict(self.named_parameters())
        differing = [name for name, before in original.items() if name not in own or own[name].shape != before.shape]
        if differing or any(name.startswith("clip.") and name not in original for name in own):
            raise CheckpointError(
                f"{self.pretrained} can't have been tuned from {self.tuned_from}: their weights differ in name or shape"
                f"{f' (first: {differing[0]})' if differing else ''}. Set video_clip.tuned_from to the right one."
            )
        return {
            name: original[name] if name in original else parameter.detach().cpu().clone()
            for name, parameter in own.items()
        }

    def save_pretrained(self, folder: Path) -> None:
        """Writes the present weights and the tokenizer as a folder in HF format, a temporal head beside them."""
        self.clip.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.temporal_head is not None and (weights := self.temporal_head.state_dict()):
            save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / _HEAD_FILE)

    def _pixels(self, frames: Tensor) -> Tensor:
        """uint8 (B, T, 3, S, S) normalized: fp32 (B x T, 3, S, S)."""
        if frames.shape[-2:] != (self.image_size, self.image_size):
            raise UserError(
                f"The clips are {frames.shape[-2]} x {frames.shape[-1]} pixels, but {self.pretrained} reads "
                f"{self.image_size} x {self.image_size}: "
                f"set the data's clips.crop_size to {self.image_size}."
            )
        pixels: Tensor = self.normalization(frames.flatten(0, 1))
        return pixels

    @torch.no_grad()
    def _begin_with(self, source: Path) -> None:
        """Puts other weights in place of the pre-trained ones."""
        if source.is_dir():
            clip = load_clip(self.architecture, str(source), "sdpa").state_dict()
            weights = {f"clip.{name}": weight for name, weight in clip.items()}
            if (source / _HEAD_FILE).is_file():
                head = load_file(source / _HEAD_FILE)
                weights |= {f"temporal_head.{name}": weight for name, weight in head.items()}
        else:
            weights = checkpoint_weights(source)
        own = self.state_dict()
        refuse_other_weights(own, weights, source)
        for name, weight in weights.items():
            own[name].copy_(weight)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """(n, L) -> (n, d). Attention is causal, so the padding after the end token needs no mask."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_text):
            there = tokens.to(self.clip.logit_scale.device, non_blocking=True)
            features = self.clip.get_text_features(input_ids=there).pooler_output
        return F.normalize(features.float(), dim=-1)


def _to_length(tokens: Tensor, length: int) -> Tensor:
    return tokens[:length] if len(tokens) >= length else F.pad(tokens, (0, length - len(tokens)), value=int(tokens[-1]))


def source_of(pretrained: str) -> str:
    """What transformers loads: `tiny` is a folder of the package."""
    return str(tiny_clip_folder()) if pretrained == TINY_CLIP else pretrained


def load_clip(architecture: type[PreTrainedModel], pretrained: str, attention: str) -> Any:
    """The model of a hub id or folder, whole, in fp32.

    Raises:
        CheckpointError: If there is none, or its weights are missing or incomplete.
    """
    try:
        loaded: Any = architecture.from_pretrained(
            source_of(pretrained), dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(_not_found(pretrained, "weights", error)) from error
    missing: Sequence[str] = sorted(loaded[1]["missing_keys"])
    mismatched = sorted(str(key) for key in loaded[1]["mismatched_keys"])
    if missing or mismatched:
        raise CheckpointError(
            f"The weights of {pretrained} are not those of a whole CLIP: {len(missing)} are missing and "
            f"{len(mismatched)} have another shape "
            f"(first: {(missing or mismatched)[0]}). Expected a {architecture.__name__} with both towers."
        )
    embeddings = loaded[0].vision_model.embeddings
    embeddings.patch_embedding = as_patch_convolution(embeddings.patch_embedding)
    return loaded[0]


def _load_head(head: TemporalHead | None, pretrained: str) -> None:
    """Gives a new head the weights that lie beside those of CLIP, if any do."""
    file = Path(source_of(pretrained)) / _HEAD_FILE
    if not file.is_file():
        return
    if head is None:
        raise CheckpointError(
            f"{pretrained} was tuned with a temporal head ({_HEAD_FILE}), but none is set: set "
            "video_clip.temporal_head to the class and settings that it was tuned with."
        )
    try:
        head.load_state_dict(load_file(file))
    except RuntimeError as error:
        found = str(error).replace("\n\t", " ").strip()
        raise CheckpointError(
            f"The weights in {file} are not those of the {type(head).__name__} that is set ({found[:300]}): give it "
            "the settings that it was tuned with."
        ) from error


def load_tokenizer(pretrained: str, vocabulary: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint.

    Args:
        pretrained: Hub id, folder or `tiny`.
        vocabulary: Tokens that the model knows.

    Raises:
        CheckpointError: If there is none, or it belongs to another model.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source_of(pretrained))
    except (OSError, ValueError) as error:
        raise CheckpointError(_not_found(pretrained, "a tokenizer", error)) from error
    # transformers makes up an empty tokenizer where the files are missing
    if not 0.9 * vocabulary <= len(tokenizer) <= vocabulary:
        raise CheckpointError(
            f"The tokenizer of {pretrained} knows {len(tokenizer)} tokens, the model {vocabulary}: its files "
            "(tokenizer.json, or vocab.json and merges.txt) are missing or belong to another model."
        )
    return tokenizer


def _not_found(pretrained: str, what: str, error: Exception) -> str:
    first_line = str(error).strip().split("\n")[0]
    if Path(pretrained).is_dir():
        return (
            f"The CLIP folder {pretrained} can't be read: it lacks {what} or they are damaged ({first_line}). "
            f"Expected config.json, "
            "model.safetensors and the tokenizer's files, as `save_pretrained` writes them."
        )
    return (
        f"There is no CLIP '{pretrained}': it is neither a folder nor a model that the Hugging Face hub or "
        f"its local cache gave ({first_line}). "
        f"Check the id and the connection, or use `{TINY_CLIP}`, which comes with the package."
    )
