"""How long sentences are for a pre-trained encoder, by its own tokenizer."""

from ost_lightning.models.encoders import encoder_class
from ost_lightning.text import TokenCount


def token_count(pretrained: str) -> TokenCount:
    """Counts with the tokenizer of a checkpoint; its weights are not loaded.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`. The tiny CLIP has a vocabulary of its own, which cuts words
            that it does not know into more tokens than OpenAI's does.

    Raises:
        CheckpointError: If there is no such checkpoint, it is of a type that is not supported, or has no tokenizer.
    """
    tokenizer = encoder_class(pretrained).load_tokenizer(pretrained)
    return TokenCount(tokenizer.count, tokenizer.max_tokens, f"tokenizer of {pretrained}")
