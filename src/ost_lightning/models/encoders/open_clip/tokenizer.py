"""open_clip's tokenizers behind the interface of `SentenceTokenizer`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.open_clip.source import Source, library
from ost_lightning.models.encoders.pretrained.hub import tokenizer_is_local
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer

_POSITIONS: Final = 77
"""Positions of a text tower whose configuration doesn't specify them."""


@dataclass(frozen=True)
class OpenCLIPTokenizer(SentenceTokenizer):
    """A tokenizer of open_clip, which cleans, truncates and pads sentences itself.

    Attributes:
        tokenizer: CLIP's own (`SimpleTokenizer`), or a wrapper around one of transformers.
    """

    tokenizer: Any

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokenizes sentences, and truncates those that are too long.

        Returns:
            Padded token ids, int64 (n, L), and the number of tokens that the text tower needs of each, int64 (n,).
        """
        tokens: Tensor = self.tokenizer(list(sentences))
        if self.end_token is None:
            return tokens, torch.full((len(tokens),), self.max_tokens)
        lengths = (tokens == self.end_token).int().argmax(-1) + 1
        return tokens[:, : int(lengths.max())], lengths

    def count(self, sentences: Sequence[str]) -> list[int]:
        """Returns the number of tokens of each sentence without truncation or padding, start and end token included."""
        return [len(tokens) for tokens in self.read(sentences)]

    def read(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Returns the token ids of each text, without truncation or padding; texts with equal ids are the same."""
        own = self.tokenizer
        if not hasattr(own, "tokenizer"):
            return [(own.sot_token_id, *own.encode(text), own.eot_token_id) for text in texts]
        return [tuple(tokens) for tokens in own.tokenizer([own.clean_fn(text) for text in texts])["input_ids"]]

    def save_pretrained(self, folder: Path) -> None:
        """Writes the tokenizer's files, unless it is the one that comes with open_clip."""
        if hasattr(self.tokenizer, "save_pretrained"):
            self.tokenizer.save_pretrained(folder)


def load_open_clip_tokenizer(source: Source) -> OpenCLIPTokenizer:
    """Loads the tokenizer of a model.

    A causal text tower that is read at the end token needs no padding. Any other is given sentences of full length.

    Raises:
        CheckpointError: If the tokenizer is missing, belongs to another model, or needs a package that is not
            installed.
    """
    text = source.model["text_cfg"]
    pool, causal = text.get("pool_type", "argmax"), not text.get("no_causal_mask")
    positions = text.get("context_length", _POSITIONS)
    options = text.get("tokenizer_kwargs") or {}
    if name := text.get("hf_tokenizer_name"):
        tokenizer, size = _from_transformers(source, str(source.folder or name), positions, options)
        end = text.get("eos_id", 2) if causal and pool == "eos" else None
    else:
        tokenizer = library().SimpleTokenizer(context_length=positions, **options)
        size = tokenizer.vocab_size
        end = tokenizer.eot_token_id if causal and pool == "argmax" else None
    vocabulary = text.get("vocab_size", 49408)
    if not 0.9 * vocabulary <= size <= 1.01 * vocabulary:  # some have special tokens that no sentence contains
        raise CheckpointError(
            f"The tokenizer of {source.name} has {size} tokens, but the model has {vocabulary}: the tokenizer belongs "
            "to another model, or its files are missing. Use a folder that contains the model's own tokenizer."
        )
    return OpenCLIPTokenizer(tokenizer, positions, fixed_length=end is None, end_token=end)


def _from_transformers(source: Source, repository: str, positions: int, options: Any) -> tuple[Any, int]:
    """Returns open_clip's wrapper of a tokenizer, and the number of its tokens."""
    local = tokenizer_is_local(repository)
    try:
        tokenizer = library("open_clip.tokenizer").HFTokenizer(
            repository, context_length=positions, **options, local_files_only=local, trust_remote_code=False
        )
    except ImportError as error:
        raise CheckpointError(
            f"The tokenizer of {source.name} needs a package that is not installed "
            f"({' '.join(str(error).split())[:200]}). SentencePiece tokenizers need "
            "`pip install 'ost-lightning[siglip]'`."
        ) from error
    except (OSError, ValueError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"The tokenizer of {source.name} is missing or damaged in {repository} ({first_line}). Expected the "
            "tokenizer's files, as written by `save_pretrained`."
        ) from error
    return tokenizer, len(tokenizer.tokenizer)
