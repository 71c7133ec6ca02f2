from copy import deepcopy
from typing import Literal

import pytest
import torch
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ost_lightning.models import LoRA, VideoCLIP
from ost_lightning.models.encoders.clip import ClassTokenLayer, as_class_token_layer
from ost_lightning.models.lora import AdaptedVideoCLIP


def last_layer(**settings: float) -> CLIPEncoderLayer:
    config = CLIPVisionConfig(hidden_size=24, intermediate_size=40, num_attention_heads=3, **settings)
    config._attn_implementation = "sdpa"
    return CLIPEncoderLayer(config)


def gradients(layer: torch.nn.Module, tokens: torch.Tensor) -> list[torch.Tensor]:
    tokens = tokens.clone().requires_grad_()
    return list(torch.autograd.grad(layer(tokens, None)[:, 0].sin().sum(), [tokens, *layer.parameters()]))


@pytest.mark.parametrize("length", [1, 2, 17])
def test_the_output_is_the_first_row_of_the_full_layer(length: int) -> None:
    full = last_layer().double()
    first = as_class_token_layer(deepcopy(full))
    assert first.state_dict().keys() == full.state_dict().keys()
    tokens = torch.randn(5, length, 24, dtype=torch.float64)
    assert first(tokens).shape == (5, 1, 24)
    torch.testing.assert_close(first(tokens)[:, 0], full(tokens, None)[:, 0])
    for found, expected in zip(gradients(first, tokens), gradients(full, tokens), strict=True):
        torch.testing.assert_close(found, expected)


def test_weights_are_shared_and_the_mode_is_kept() -> None:
    full = last_layer().eval()
    first = as_class_token_layer(full)
    assert not first.training
    for name, weight in full.named_parameters():
        assert first.get_parameter(name) is weight


def test_attention_is_dropped_in_training_only() -> None:
    first = as_class_token_layer(last_layer(attention_dropout=0.5))
    tokens = torch.randn(2, 9, 24)
    assert not torch.equal(first.train()(tokens), first(tokens))
    assert torch.equal(first.eval()(tokens), first(tokens))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapted", [False, True])
def test_embeddings_and_gradients_are_those_of_full_layers(adapted: bool, checkpointing: bool) -> None:
    clips = torch.randint(0, 256, (2, 3, 3, 48, 48), dtype=torch.uint8)
    weights = torch.randn(2, 3, 128)

    def step(attention: Literal["sdpa", "eager"]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        options = {"attention": attention, "gradient_checkpointing": checkpointing}
        model = AdaptedVideoCLIP("tiny", lora=LoRA(), **options) if adapted else VideoCLIP("tiny", **options)
        last = model.encoder.model.vision_model.encoder.layers[-1]
        assert isinstance(last, ClassTokenLayer) == (attention == "sdpa")
        assert last.gradient_checkpointing == checkpointing
        embedded = model.encode_frames(clips)
        (embedded * weights).sum().backward()
        return embedded.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    (found, actual), (expected, full) = step("sdpa"), step("eager")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert actual.keys() == full.keys()
    for name, gradient in full.items():
        torch.testing.assert_close(actual[name], gradient, atol=1e-5 * gradient.abs().max().item() + 1e-6, rtol=1e-4)


def test_other_rows_are_not_computed() -> None:
    seen = []
    model = VideoCLIP("tiny")
    layer = model.encoder.model.vision_model.encoder.layers[-1]
    for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.out_proj, layer.mlp):
        part.register_forward_hook(lambda part, inputs, output: seen.append(output.shape[1]))
    with torch.no_grad():
        model.encode_frames(torch.zeros(1, 2, 3, 48, 48, dtype=torch.uint8))
    assert seen == [1, model.encoder.model.vision_model.embeddings.num_positions, 1, 1]
