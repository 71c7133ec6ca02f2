"""A dual encoder for videos: frames and sentences become unit vectors in one space."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models.checkpoints.clip_record import read_clip_record
from ost_lightning.models.checkpoints.initial_weights import (
    VIDEO_CLIP,
    check_tuned_from,
    check_weights_match,
    folder_weights,
    read_checkpoint,
    weights_of,
)
from ost_lightning.models.checkpoints.part_files import PARTS, PartName, load_part, save_part
from ost_lightning.models.encoders import (
    NAMED_STATISTICS,
    TOWERS,
    DualEncoder,
    PixelStatistics,
    Preprocessing,
    StatisticsName,
    TowerName,
    encoder_class,
)
from ost_lightning.models.encoders.pretrained.loading import source_of
from ost_lightning.models.encoders.towers.batch_padding import BatchPadding
from ost_lightning.models.encoders.towers.pixels import PixelNormalization
from ost_lightning.models.extensible_model import ExtensibleModel
from ost_lightning.models.logit_scale import LogitScale, Scores, check_scores
from ost_lightning.models.parameter_names import matching_names
from ost_lightning.models.temporal_heads import TemporalHead
from ost_lightning.models.tokenized_sentences import TokenizedSentences, tokenize, warn_about_names
from ost_lightning.text import LabelSpace, SentenceSet, TokenCount
from ost_lightning.vocabulary import SentenceKind

_SENTENCES_PER_PASS: Final = 512
_MODEL: Final = "encoder.model."
"""Prefix of the pre-trained weights in `VideoCLIP.state_dict`."""

FrameEmbeddings = Tensor
"""V: (B, T, d), L2-normalized."""

DescriptorEmbeddings = Mapping[SentenceKind, Tensor]
"""kind -> (K, N, d), L2-normalized: D^s, D^t and the category names."""


class VideoCLIP(ExtensibleModel):
    """A pre-trained dual encoder for clips and sentences.

    The checkpoint determines the kind of encoder: by the `model_type` in its config.json (CLIP, SigLIP and others), or
    by open_clip's own format.

    Args:
        pretrained: Hub id (`openai/clip-vit-base-patch16`), folder in HF format, `tiny`, which comes with the package,
            or a model of open_clip (`open_clip:PE-Core-B-16/meta`, or a folder in its format).
        freeze_vision: Whether to freeze the vision tower and its projection.
        freeze_text: Whether to freeze the text tower and its projection.
        gradient_checkpointing: Whether to recompute activations in the backward pass: less memory, a third more time.
        attention: Attention implementation. `eager` gives access to attention maps, and computes CLIP's last vision
            layer for all tokens instead of the class token alone.
        pixel_statistics: Mean and standard deviation for normalizing pixels: `clip`, `imagenet` (used to tune the
            released OST and ViFi-CLIP weights), `half` (0.5 each), `none` (pixels from 0 to 1), or `mean` and `std` of
            three numbers each. None uses the checkpoint's own.
        tuned_from: Hub id or folder of the model that `pretrained` was tuned from, used as the original in weight-space
            ensembling; None for `pretrained` itself.
        temporal_head: Factory of a head for embeddings of a given width, applied to the frame embeddings before they
            are normalized. Its weights are new unless the folder `pretrained` contains them.
        scores: Probabilities of classes: `softmax` distributes 1 over all classes; `sigmoid` gives each class a
            probability of its own, for encoders with a logit bias such as SigLIP. Training is the same with both.
        logit_scale: Settings of the logit scale: where it starts, whether it is trained, and its limit.
        frozen_weights: Patterns of the names of further weights to freeze, such as `*token_embedding*`.
        init_from: Initial weights: a checkpoint that training wrote (`.ckpt`) or a folder in HF format. Only the
            weights are loaded, so training starts a new schedule; `--ckpt_path` resumes the old one. Weight-space
            ensembling still uses `pretrained` (or `tuned_from`) as the original.

    Raises:
        CheckpointError: If the model doesn't exist, is of an unsupported kind, or its weights are incomplete.

    Attributes:
        trained_with: Preprocessing that the weights were trained with on videos; None if unknown.
        batch_padding: Padding of short batches, for a compiled tower; off by default.

    Examples:
        >>> model = VideoCLIP("tiny")
        >>> model.encode_frames(torch.zeros(2, 8, 3, 48, 48, dtype=torch.uint8)).shape  # clips, frames, width
        torch.Size([2, 8, 128])
    """

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        freeze_vision: bool = False,
        freeze_text: bool = False,
        gradient_checkpointing: bool = False,
        attention: Literal["sdpa", "eager"] = "sdpa",
        pixel_statistics: StatisticsName | PixelStatistics | None = None,
        tuned_from: str | None = None,
        temporal_head: Callable[[int], TemporalHead] | None = None,
        scores: Scores = "softmax",
        logit_scale: LogitScale = LogitScale(),  # frozen
        frozen_weights: Sequence[str] = (),  # read only
        init_from: Path | None = None,
    ) -> None:
        super().__init__()
        self.pretrained, self.tuned_from, self.init_from = pretrained, tuned_from or pretrained, init_from
        self.encoder: DualEncoder = self._load_encoder(pretrained, attention).train()
        self.use_scores(scores)
        self._own_preprocessing = self.encoder.preprocessing
        self.trained_with = self.preprocessing.after_training
        if pixel_statistics is not None:
            statistics = NAMED_STATISTICS[pixel_statistics] if isinstance(pixel_statistics, str) else pixel_statistics
            self.encoder.preprocessing = replace(self.preprocessing, mean=statistics.mean, std=statistics.std)
        self.normalization = PixelNormalization(self.preprocessing.mean, self.preprocessing.std)
        self.temporal_head = temporal_head(self.embedding_dim) if temporal_head is not None else None
        self._load_part("temporal_head")
        for part in set(PARTS) - self.parts:  # refuses weights that would otherwise be ignored
            load_part(None, part, Path(source_of(pretrained)))
        self._freeze(freeze_vision, freeze_text)
        parameters = dict(self.named_parameters())
        for name in matching_names(parameters, frozen_weights, "video_clip.frozen_weights"):
            parameters[name].requires_grad_(False)
        if gradient_checkpointing:
            self.encoder.enable_gradient_checkpointing()
        if init_from is not None:
            self._load_initial_weights(init_from)
        self._logit_scale, self.batch_padding = logit_scale, BatchPadding()
        logit_scale.apply(self.encoder)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode, in which frozen towers remain without dropout."""
        super().train(mode)
        for name, frozen in zip(TOWERS, (self.freeze_vision, self.freeze_text), strict=True):
            if frozen:
                for part in self.encoder.tower(name).parts:
                    part.eval()
        return self

    @property
    def embedding_dim(self) -> int:
        """d, the width of the embeddings."""
        return self.encoder.embedding_dim

    @property
    def image_size(self) -> int:
        """Side of the square that the vision tower reads, in pixels."""
        return self.encoder.image_size

    @property
    def preprocessing(self) -> Preprocessing:
        """The checkpoint's own preprocessing, with any pixel statistics that were set."""
        return self.encoder.preprocessing

    @property
    def relates_frames(self) -> bool:
        """Whether the embedding of a frame depends on the other frames of its clip."""
        return self.temporal_head is not None or self.encoder.relates_frames or bool(self.runs_layers_for)

    @property
    def fixes_frames(self) -> bool:
        """Whether there are weights for a certain number of frames per clip, such as position embeddings."""
        head = self.temporal_head
        positions = self.encoder.relates_frames or (head is not None and head.learns_positions)
        return positions or bool(self.runs_layers_for)

    @property
    def text_modules(self) -> tuple[nn.Module, ...]:
        """Modules that only sentences depend on."""
        return self.encoder.tower("text").parts

    def has_gradients(self, tower: TowerName) -> bool:
        """Whether training changes what a tower returns: the tower is not frozen, or learned prompts are in it."""
        frozen = self.freeze_vision if tower == "vision" else self.freeze_text
        return not frozen or tower in self.prompted_towers

    def encode_frames(self, frames: Tensor, project: Callable[[Tensor], Tensor] | None = None) -> FrameEmbeddings:
        """Embeds every frame separately; a temporal head then relates or pools the frames of a clip.

        Args:
            frames: uint8 (B, T, 3, S, S), 0 to 255, where S is the model's image size.
            project: Map of embeddings (B, T, d) before they are normalized, which only training uses; None for none.

        Returns:
            fp32 (B, T, d), L2-normalized; (B, 1, d) if the head pools.

        Raises:
            UserError: If the frames have a different size.
        """
        if frames.shape[-2:] != (self.image_size, self.image_size):
            raise UserError(
                f"The clips are {frames.shape[-2]} x {frames.shape[-1]} pixels, but {self.pretrained} reads "
                f"{self.image_size} x {self.image_size}: set the data's clips.crop_size to {self.image_size} and "
                f"clips.short_side to {self.preprocessing.default_short_side}, or leave both unset."
            )
        clips, frames = frames.shape[0], self.batch_padding(frames)  # len() would fix it in a graph
        pixels = self.normalization(frames.flatten(0, 1)).unflatten(0, tuple(frames.shape[:2]))
        grad = torch.is_grad_enabled() and self.has_gradients("vision")
        with torch.set_grad_enabled(grad), self.encoder.arithmetic():
            embedded = self._embed_clips(pixels)[:clips]
        if self.temporal_head is not None:
            embedded = self.temporal_head(embedded)
        if project is not None:
            embedded = project(embedded)
        return self._unit_vectors(embedded)

    @property
    def token_count(self) -> TokenCount:
        """Token counter of the checkpoint, for choosing templates that fit."""
        tokenizer = self.encoder.tokenizer
        return TokenCount(tokenizer.count, tokenizer.max_tokens, f"tokenizer of {self.pretrained}", tokenizer.read)

    def tokenize(self, sentences: SentenceSet) -> TokenizedSentences:
        """Tokenizes sentences with the checkpoint's own tokenizer.

        Warns:
            UserWarning: If sentences exceed the text tower's positions and are truncated.
        """
        return tokenize(sentences, self.encoder.tokenizer)

    def warn_about_names(self, labels: LabelSpace) -> None:
        """Warns of class names that are the same text for the checkpoint's tokenizer, or that it reads in part.

        Warns:
            UserWarning: If there are such names.
        """
        warn_about_names(labels, self.encoder.tokenizer, self.pretrained)

    def encode_sentences(self, sentences: TokenizedSentences) -> DescriptorEmbeddings:
        """Embeds sentences, padded to the longest of each forward pass.

        Returns:
            kind -> fp32 (K, N, d), L2-normalized.
        """
        embedded = [self.encode_tokens(*batch) for batch in sentences.batches(_SENTENCES_PER_PASS)]
        sizes = [sentences.tokens[kind].shape[:2] for kind in sentences.tokens]
        parts = torch.cat(embedded).split([rows * columns for rows, columns in sizes])
        return {
            kind: part.unflatten(0, tuple(size))
            for kind, part, size in zip(sentences.tokens, parts, sizes, strict=True)
        }

    def encode_tokens(self, tokens: Tensor, lengths: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Embeds sentences.

        Args:
            tokens: Token ids, int64 (n, L).
            lengths: Number of tokens of each sentence, int64 (n,).
            prompts: Row of the learned prompts of each sentence, int64 (n,); None for sentences without them.

        Returns:
            fp32 (n, d), L2-normalized.
        """
        tokens = tokens.to(self.encoder.device, non_blocking=True)
        grad = torch.is_grad_enabled() and self.has_gradients("text")
        with torch.set_grad_enabled(grad):
            return self._unit_vectors(self._embed_sentences(tokens, lengths, prompts))

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scales similarities (B, K) to logits with the encoder's learned temperature, and bias if it has one."""
        return self.encoder.similarity_to_logits(similarities)

    def limit_logit_scale(self) -> None:
        """Decreases the logit scale to its maximum, if it has one."""
        self._logit_scale.limit(self.encoder)

    def use_scores(self, scores: Scores) -> None:
        """Sets the kind of probabilities.

        Args:
            scores: `softmax` or `sigmoid`.

        Raises:
            UserError: If the encoder has no logit bias, which `sigmoid` needs.
        """
        check_scores(scores, self.encoder, self.pretrained)
        self.scores = scores

    def class_probabilities(self, similarities: Tensor) -> Tensor:
        """Returns probabilities of classes, fp32 (B, K), from similarities (B, K), in the way of `scores`."""
        logits = self.similarity_to_logits(similarities).float()
        return logits.sigmoid() if self.scores == "sigmoid" else logits.softmax(dim=-1)

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """Returns the matcher to use with this encoder: the same one, or a wrapper if texts depend on the video."""
        return self.encoder.adapt_matcher(matcher)

    def original_parameters(self) -> dict[str, Tensor]:
        """Returns `pretrained_parameters`, and current weights of new modules, so that mixing leaves them unchanged."""
        original = self.pretrained_parameters()
        return {
            name: original[name] if name in original else parameter.detach().cpu().clone()
            for name, parameter in self.named_parameters()
        }

    def pretrained_parameters(self) -> dict[str, Tensor]:
        """Returns the weights that the pre-trained model has, in host memory; new modules have none.

        Raises:
            CheckpointError: If the weights of the model that this one was tuned from differ in name or shape.
        """
        plain = self._with_encoder_names(self._weights_of(self.tuned_from))
        original = {f"{_MODEL}{name}": weight for name, weight in plain.items()}
        encoder = {name: weight for name, weight in self.named_parameters() if name.startswith(_MODEL)}
        check_tuned_from(encoder, original, self.pretrained, self.tuned_from)
        return original

    def save_pretrained(self, folder: Path) -> None:
        """Writes a folder in HF format: the current weights, tokenizer, preprocessing, and any temporal head.

        The preprocessing is the one that the weights were trained with, or the current one if that is unknown.
        """
        self.encoder.save_pretrained(folder, self.trained_with)
        for part in self.parts:
            save_part(getattr(self, part), part, folder)

    def read_training(self, checkpoint: Mapping[str, Any]) -> None:
        """Sets `trained_with` from the content of the checkpoint whose weights are loaded."""
        self.trained_with = read_clip_record(checkpoint, self._own_preprocessing)

    def require_trained_positions(self, frames: int) -> None:
        """Checks that the architecture allows this many frames, and that the head was not trained with fewer.

        Raises:
            UserError: If it doesn't, or if the head learns position embeddings and was trained with fewer.
        """
        self.require_possible_frames(frames)
        trained = self.trained_with.frames if self.trained_with is not None else None
        head = self.temporal_head
        if head is not None and head.learns_positions and trained is not None and frames > trained:
            raise UserError(
                f"The clips have {frames} frames, but the temporal head was trained with {trained}, so its other "
                f"position embeddings are random: set data.clips.frames to at most {trained}."
            )

    def _load_encoder(self, pretrained: str, attention: str) -> DualEncoder:
        """Returns the encoder with its pre-trained weights."""
        return encoder_class(pretrained).from_pretrained(pretrained, attention)

    def _weights_of(self, pretrained: str) -> Mapping[str, Tensor]:
        """Returns the weights of a pre-trained model."""
        return {name: weight.detach() for name, weight in self.encoder.load_model(pretrained).named_parameters()}

    def _embed_clips(self, pixels: Tensor) -> Tensor:
        """Embeds normalized pixels (B, T, 3, S, S) as (B, T, d), not normalized."""
        return self.encoder.encode_clips(pixels)

    def _embed_sentences(self, tokens: Tensor, lengths: Tensor, prompts: Tensor | None) -> Tensor:
        """Embeds token ids (n, L) as (n, d), not normalized."""
        return self.encoder.encode_tokens(tokens, lengths)

    def _load_part(self, part: PartName) -> None:
        load_part(getattr(self, part), part, Path(source_of(self.pretrained)))

    def _with_encoder_names(self, plain: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Returns weights of a plain model under the parameter names of this encoder's model."""
        return plain

    def _freeze(self, vision: bool, text: bool) -> None:
        if self.encoder.relates_frames and self.temporal_head is not None:
            raise UserError(
                f"{self.pretrained} relates frames by itself, so it takes no video_clip.temporal_head. Unset it."
            )
        if not self.encoder.trainable:
            vision = text = True
            self.encoder.requires_grad_(False)
        self.freeze_vision, self.freeze_text = vision, text
        for parameter in self.encoder.tower("vision").parameters():
            parameter.requires_grad_(not vision)
        for parameter in self.encoder.tower("text").parameters():
            parameter.requires_grad_(not text)
        self.train(self.training)

    def _unit_vectors(self, embedded: Tensor) -> Tensor:
        return F.normalize(embedded.float(), dim=-1) if self.encoder.unit_length else embedded.float()

    @torch.no_grad()
    def _load_initial_weights(self, source: Path) -> None:
        """Replaces the pre-trained weights with those of a checkpoint or folder."""
        if source.is_dir():
            weights = folder_weights(source, self.encoder.load_model(str(source)), _MODEL)
            self.trained_with = self.encoder.load_preprocessing(str(source)).after_training
        else:
            content = read_checkpoint(source)
            weights = weights_of(content, VIDEO_CLIP)
            self.read_training(content)
        self.take_classes(weights)
        current = self.state_dict()
        check_weights_match(current, weights, source)
        for name, weight in weights.items():
            current[name].copy_(weight)
