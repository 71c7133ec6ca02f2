"""Sentence lengths in tokens, counted with a checkpoint's own tokenizer."""

import unicodedata
from collections.abc import Hashable, Sequence
from functools import partial

from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.resources import TINY_MODELS
from ost_lightning.text import TokenCount


def token_count(pretrained: str) -> TokenCount:
    """Returns a token counter that uses the tokenizer of a checkpoint, without loading its weights.

    Args:
        pretrained: Hub id, folder in HF format, `tiny` or `tiny_siglip`. Tiny models have their own vocabulary, which
            splits unknown words into more tokens than OpenAI's does.

    Raises:
        CheckpointError: If the checkpoint doesn't exist, is of an unsupported type, or has no tokenizer.
    """
    tokenizer = encoder_class(pretrained).load_tokenizer(pretrained)
    read = partial(_read_known, tokenizer) if pretrained in TINY_MODELS else tokenizer.read
    return TokenCount(tokenizer.count, tokenizer.max_tokens, f"tokenizer of {pretrained}", read)


def _read_known(tokenizer: SentenceTokenizer, texts: Sequence[str]) -> list[Hashable]:
    """Returns token ids, or the text itself if the tiny model has no tokens for it.

    The tiny model stands for larger ones here, which have tokens for all characters.
    """
    unknown = tokenizer.tokenizer.unk_token_id
    return [
        unicodedata.normalize("NFC", " ".join(text.split())).lower() if unknown in tokens[1:-1] else tokens
        for text, tokens in zip(texts, tokenizer.read(texts), strict=True)
    ]
