"""The token of a sentence at which a text tower is read: the end token, or in BERT-like towers the first one."""

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.towers.packed import PackedLayers, packed_for_sentences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LEGACY: Final = 2
"""Wrong id in the configurations of OpenAI's CLIP; transformers then takes the largest id for the end token.

MetaCLIP 2 has this id for its end token, and is read at it.
"""


def embed_end_tokens(model: Any, tokens: Tensor, end: int) -> Tensor:
    """Embeds sentences with a causal text tower, read at their end tokens.

    Transformers reads the token with the largest id instead if the configuration has `eos_token_id` 2, as OpenAI's on
    the hub has. That fails for tokens that were added behind the end token.

    Args:
        model: Model with `text_model` and `text_projection`.
        tokens: Token ids, int64 (n, L), on the device of the model.
        end: Id of the end token; its first occurrence counts, because it may also be the padding.

    Returns:
        (n, d), not normalized.
    """
    text, ends = model.text_model, (tokens == end).int().argmax(-1)
    packed = packed_for_sentences(text, tokens)
    if packed is not None:
        states = packed_states(packed, text, text.embeddings(input_ids=tokens), ends)
    else:
        states = states_at(ends, text(input_ids=tokens).last_hidden_state)
    features: Tensor = model.text_projection(states)
    return features


def packed_states(packed: PackedLayers, text: Any, embedded: Tensor, ends: Tensor) -> Tensor:
    """Runs a causal text tower on embedded tokens (n, L, W); returns the states at the positions (n,), (n, W)."""
    with packed.packed_causal(text.encoder.layers) as run_layers:
        states: Tensor = text.final_layer_norm(run_layers(embedded, ends + 1))
    return states


def states_at(positions: Tensor, states: Tensor) -> Tensor:
    """Returns the states (n, L, W) at one position (n,) of each sentence, (n, W)."""
    return states[torch.arange(len(states), device=states.device), positions]


def end_token(tokenizer: "PreTrainedTokenizerBase", pretrained: str) -> int:
    """Returns the id of the token that a tokenizer adds at the end of each sentence.

    Args:
        tokenizer: Tokenizer.
        pretrained: Name of the checkpoint, for messages.

    Raises:
        CheckpointError: If it adds none, so that the text tower would be read at a word.
    """
    empty, short = tokenizer(["", "a"])["input_ids"]
    if len(empty) < 1 or len(short) <= len(empty) or empty[-1] != short[-1] or empty[-1] != tokenizer.eos_token_id:
        raise CheckpointError(
            f"The tokenizer of {pretrained} adds no end token to sentences, but the text tower is read there "
            f"(eos_token is {tokenizer.eos_token!r}). Set a post_processor in tokenizer.json that adds it, as "
            "CLIPTokenizerFast has."
        )
    last: int = short[-1]
    return last


def check_start_token(tokenizer: "PreTrainedTokenizerBase", pretrained: str) -> None:
    """Checks that a tokenizer adds its class token at the start of each sentence.

    Args:
        tokenizer: Tokenizer.
        pretrained: Name of the checkpoint, for messages.

    Raises:
        CheckpointError: If it doesn't, so that the text tower would be read at a word.
    """
    for tokens in tokenizer(["", "a"])["input_ids"]:
        if not tokens or tokens[0] != tokenizer.cls_token_id:
            raise CheckpointError(
                f"The tokenizer of {pretrained} adds no class token at the start of sentences, but the text tower is "
                f"read there (cls_token is {tokenizer.cls_token!r}). Use a folder that contains the model's own "
                "tokenizer."
            )


def correct_end_token(config: Any, tokenizer: "PreTrainedTokenizerBase", end: int) -> None:
    """Corrects a configuration with which transformers would not find the end token, so that saved models have it.

    Args:
        config: Configuration of the text tower.
        tokenizer: Tokenizer of the checkpoint.
        end: Id of the end token.
    """
    largest = max(tokenizer.get_vocab().values())
    legacy = config.eos_token_id == _LEGACY and config.model_type != "metaclip_2_text_model"
    if config.eos_token_id != end and not (legacy and end == largest):
        config.eos_token_id = end
