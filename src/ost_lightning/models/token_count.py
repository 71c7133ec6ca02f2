"""How long sentences are for a CLIP, by its own tokenizer."""

from collections.abc import Sequence

from transformers import AutoConfig

from ost_lightning.models.checkpoints.initial_weights import CheckpointError
from ost_lightning.models.video_clip import load_tokenizer, source_of
from ost_lightning.text import TokenCount


def token_count(pretrained: str) -> TokenCount:
    """Counts with the tokenizer of a CLIP; its weights are not loaded.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`. The tiny CLIP has a vocabulary of its own, which cuts words
            that it does not know into more tokens than OpenAI's does.

    Raises:
        CheckpointError: If there is no such CLIP, or it has no tokenizer.
    """
    try:
        config = AutoConfig.from_pretrained(source_of(pretrained))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"There is no CLIP '{pretrained}' to count tokens with ({str(error).strip().splitlines()[0]}). Give a hub "
            "id that is in the local cache or can be downloaded, or a folder in HF format."
        ) from error
    if (text := getattr(config, "text_config", None)) is None:
        raise CheckpointError(f"{pretrained} is a model of type '{config.model_type}', not a CLIP with a text tower.")
    tokenizer = load_tokenizer(pretrained, text.vocab_size)

    def count(sentences: Sequence[str]) -> list[int]:
        return [len(tokens) for tokens in tokenizer(list(sentences))["input_ids"]]

    return TokenCount(count, text.max_position_embeddings, f"tokenizer of {pretrained}")
