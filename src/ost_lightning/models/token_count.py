"""Sentence lengths in tokens, counted with a checkpoint's own tokenizer."""

from ost_lightning.models.encoders import encoder_class
from ost_lightning.text import TokenCount


def token_count(pretrained: str) -> TokenCount:
    """Returns a token counter that uses the tokenizer of a checkpoint, without loading its weights.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`. The tiny CLIP has its own vocabulary, which splits unknown
            words into more tokens than OpenAI's does.

    Raises:
        CheckpointError: If the checkpoint doesn't exist, is of an unsupported type, or has no tokenizer.
    """
    tokenizer = encoder_class(pretrained).load_tokenizer(pretrained)
    return TokenCount(tokenizer.count, tokenizer.max_tokens, f"tokenizer of {pretrained}")
