"""Relevance of patches, compared with results of the authors' released code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ost_lightning.analysis.relevance import attention_rollout, class_attention, descriptor_relevance
from ost_lightning.errors import UserError
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention

VECTORS = load_file(Path(__file__).with_name("relevance.safetensors"))
"""One image and three sentences in a CLIP of three layers, with results of the released code."""


def layers(gradient_of: int | None = None) -> VisionAttention:
    """Attention of each layer, or its gradient for one of the sentences; (1, heads, L, L)."""
    found = VECTORS["out.attention"] if gradient_of is None else VECTORS["out.attention_gradient"][gradient_of]
    return VisionAttention(tuple(layer[None] for layer in found.unbind()))


@pytest.mark.parametrize("sentence", range(3))
@pytest.mark.parametrize(
    ("first_layer", "name"), [(0, "relevance"), (1, "relevance_from_1"), (-1, "relevance_last_layer")]
)
def test_relevance_agrees_with_the_released_code(sentence: int, first_layer: int, name: str) -> None:
    found = descriptor_relevance(layers(), layers(sentence), first_layer)
    expected = VECTORS[f"out.{name}"][sentence]
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6 * float(expected.max()))
    assert (found >= 0).all()


def test_rollout_and_class_attention_agree_with_the_released_code() -> None:
    torch.testing.assert_close(attention_rollout(layers()), VECTORS["out.rollout"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(class_attention(layers()), VECTORS["out.class_attention_last"], rtol=1e-5, atol=1e-7)


def test_rows_of_the_rollout_sum_to_one_with_the_class_token() -> None:
    attentions = [torch.rand(2, 3, 5, 5, dtype=torch.float64).softmax(-1) for _ in range(4)]
    matrix = torch.eye(5, dtype=torch.float64).expand(2, -1, -1)
    for attention in attentions:
        matrix = (0.5 * attention.mean(1) + 0.5 * torch.eye(5, dtype=torch.float64)) @ matrix
    torch.testing.assert_close(attention_rollout(VisionAttention(tuple(attentions))), matrix[:, 0, 1:])


def test_the_class_tokens_row_of_the_last_layer_is_enough() -> None:
    attentions, gradients = layers(), layers(0)
    only_row, row_gradients = (
        VisionAttention((*full.layers[:-1], full.layers[-1][:, :, :1])) for full in (attentions, gradients)
    )
    full = descriptor_relevance(attentions, gradients)
    torch.testing.assert_close(descriptor_relevance(only_row, row_gradients), full)
    torch.testing.assert_close(class_attention(only_row), class_attention(attentions))
    torch.testing.assert_close(attention_rollout(only_row), attention_rollout(attentions))


def test_a_constant_score_has_no_relevance() -> None:
    zeros = layers().with_tensors([torch.zeros_like(layer) for layer in layers().layers])
    assert descriptor_relevance(layers(), zeros).eq(0).all()


def test_a_layer_that_does_not_exist_is_rejected() -> None:
    with pytest.raises(UserError, match="first_layer is 3, but the vision tower has 3 layers"):
        descriptor_relevance(layers(), layers(0), 3)


def test_a_pooling_query_replaces_the_class_token() -> None:
    attentions = [torch.rand(2, 3, 4, 4, dtype=torch.float64).softmax(-1) for _ in range(2)]
    pooling = torch.rand(2, 3, 1, 4, dtype=torch.float64).softmax(-1)
    attention = VisionAttention(tuple(attentions), pooling)
    torch.testing.assert_close(class_attention(attention), pooling.mean(1)[:, 0])
    rollout = attention_rollout(attention)
    torch.testing.assert_close(rollout.sum(1), torch.ones(2, dtype=torch.float64))
    mixed = [0.5 * layer.mean(1) + 0.5 * torch.eye(4, dtype=torch.float64) for layer in attentions]
    torch.testing.assert_close(rollout, (pooling.mean(1) @ mixed[1] @ mixed[0])[:, 0])
    # without any evidence in the layers, the relevance is that of the pooling alone
    gradients = attention.with_tensors([*(torch.zeros_like(layer) for layer in attentions), torch.ones_like(pooling)])
    torch.testing.assert_close(descriptor_relevance(attention, gradients), pooling.mean(1)[:, 0])
