import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig

from ost_lightning.models import AdaptedVideoCLIP, LoRA, VideoCLIP, exchanged_weights
from ost_lightning.models.encoders.clip import CLIPEncoder, as_class_token_layer
from ost_lightning.models.encoders.towers import packed
from ost_lightning.models.encoders.towers.packed import PackedLayers
from tests.models.encoders.families import FAMILIES

SUPPORTED = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
BF16 = SUPPORTED and torch.ops.mkldnn._is_mkldnn_bf16_supported()
pytestmark = pytest.mark.skipif(not SUPPORTED, reason="packed weights are for x86 with AVX2")
PACKABLE = ("LongCLIP", "TinyCLIP", "MetaCLIP 2", "AltCLIP", "Chinese-CLIP", "SigLIP", "SigLIP 2")


def clips(count: int = 2) -> Tensor:
    return torch.randint(0, 256, (count, 3, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def embed(model: VideoCLIP, frames: Tensor, expect_packed: bool = True) -> Tensor:
    """Embeds frames, and checks in which way it was done."""
    with counted_runs() as runs, torch.inference_mode():
        found = model.encode_frames(frames)
    assert bool(runs) == expect_packed
    return found.clone()


@contextmanager
def counted_runs() -> Iterator[list[PackedLayers]]:
    runs: list[PackedLayers] = []
    packed_layers = PackedLayers.packed

    def counted(layers: PackedLayers, modules: Sequence[Any]) -> AbstractContextManager[Callable[[Tensor], Tensor]]:
        runs.append(layers)
        return packed_layers(layers, modules)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackedLayers, "packed", counted)
        yield runs


def by_its_own_layers(model: VideoCLIP, frames: Tensor) -> Tensor:
    with torch.enable_grad(), counted_runs() as runs:
        found = model.encode_frames(frames).detach()
    assert not runs
    return found


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", PACKABLE)
def test_embeddings_are_those_of_the_layers(name: str, attention: Literal["sdpa", "eager"], tmp_path: Path) -> None:
    model = VideoCLIP(str(FAMILIES[name].write(tmp_path)), attention=attention).eval()
    torch.testing.assert_close(embed(model, clips()), by_its_own_layers(model, clips()), atol=5e-7, rtol=0)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh", "relu"])
@pytest.mark.parametrize("rows", [1, 40, 10_000])
def test_activations_and_groups_of_frames(activation: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_ROWS", rows)
    monkeypatch.setattr(packed, "_ROWS_PER_THREAD", 1)
    torch.manual_seed(0)
    vision = CLIPVisionConfig(hidden_size=24, intermediate_size=40, num_attention_heads=3, hidden_act=activation)
    vision._attn_implementation = "sdpa"
    model = CLIPModel(
        CLIPConfig(
            text_config={"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1},
            vision_config=vision.to_dict() | {"num_hidden_layers": 3},
        )
    ).eval()
    layers = model.vision_model.encoder.layers
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.3)
    layers[-1] = as_class_token_layer(layers[-1])
    tokens = torch.randn(7, 19, 24)
    with torch.no_grad():
        expected = tokens
        for layer in layers:
            expected = layer(expected, None)
        before = tokens.clone()
        assert PackedLayers().can_run(model.vision_model, layers, tokens)
        with PackedLayers().packed(layers) as run_layers:
            found = run_layers(tokens)
    assert found.shape == (7, 1, 24)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tokens, before)  # the input is not changed in place


def change_in_place(model: VideoCLIP) -> None:
    with torch.no_grad():
        for parameter in model.encoder.model.vision_model.parameters():
            parameter.mul_(1.1)


def change_without_a_new_version(model: VideoCLIP) -> None:
    """Writes as Lightning's averaging of weights does, which PyTorch doesn't count."""
    for parameter in model.encoder.model.vision_model.parameters():
        parameter.data.copy_(parameter.data * 1.1)


def change_one_bias(model: VideoCLIP) -> None:
    with torch.no_grad():
        model.encoder.model.vision_model.encoder.layers[0].mlp.fc1.bias[3] += 1


def change_only_a_norm(model: VideoCLIP) -> None:
    model.encoder.model.vision_model.encoder.layers[0].layer_norm1.weight.data *= 1.5


@pytest.mark.parametrize("change", [change_in_place, change_without_a_new_version, change_one_bias, change_only_a_norm])
def test_changed_weights_are_used(change: Callable[[VideoCLIP], None]) -> None:
    model = VideoCLIP("tiny").eval()
    before = embed(model, clips())
    change(model)
    found = embed(model, clips())
    assert float((found - before).abs().max()) > 1e-4
    torch.testing.assert_close(found, by_its_own_layers(model, clips()), atol=5e-7, rtol=0)


def test_exchanged_weights_are_used_and_given_back() -> None:
    model = VideoCLIP("tiny").eval()
    before = embed(model, clips())
    other = {name: weight.detach() * 0.9 for name, weight in model.named_parameters()}
    with exchanged_weights(model, other):
        within = embed(model, clips())
        expected = by_its_own_layers(model, clips())
    torch.testing.assert_close(within, expected, atol=5e-7, rtol=0)
    assert float((within - before).abs().max()) > 1e-4
    assert torch.equal(embed(model, clips()), before)


def test_weights_are_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = VideoCLIP("tiny").eval()
    first = embed(model, clips())
    monkeypatch.setattr(packed._PackedWeights, "of", lambda *_: pytest.fail("packed again"))
    assert torch.equal(embed(model, clips()), first)


def test_copies_have_no_packed_weights() -> None:
    model = VideoCLIP("tiny").eval()
    expected = embed(model, clips())
    assert torch.equal(embed(copy.deepcopy(model), clips()), expected)
    assert isinstance(model.encoder, CLIPEncoder)
    assert pickle.loads(pickle.dumps(model.encoder._packed_layers))._packed is None  # noqa: S301  # our own


def test_what_is_not_plain_runs_by_itself() -> None:
    hooked = VideoCLIP("tiny").eval()
    hooked.encoder.model.vision_model.encoder.layers[1].mlp.fc1.register_forward_hook(lambda *_: None)
    embed(hooked, clips(), expect_packed=False)
    embed(AdaptedVideoCLIP("tiny", lora=LoRA(towers="vision")).eval(), clips(), expect_packed=False)
    embed(VideoCLIP("tiny").eval().double(), clips(), expect_packed=False)
    compiled = VideoCLIP("tiny").eval()
    compiled.encoder.model.vision_model.compile()
    assert not can_run(compiled)  # calling it would compile it, which takes seconds
    dropping = VideoCLIP("tiny").train()
    assert can_run(dropping)
    dropping.encoder.model.vision_model.encoder.layers[0].self_attn.dropout = 0.1
    assert not can_run(dropping)


@torch.no_grad()
def can_run(model: VideoCLIP) -> bool:
    vision = model.encoder.model.vision_model
    return PackedLayers().can_run(vision, vision.encoder.layers, torch.zeros(1, 3, 48, 48))


def test_attention_maps_leave_the_fast_way_open() -> None:
    model = VideoCLIP("tiny").eval()
    expected = embed(model, clips())
    with torch.no_grad():
        model.encoder.encode_with_attention(model.normalization(clips()[0]))
    assert torch.equal(embed(model, clips()), expected)


def test_an_export_has_the_usual_layers() -> None:
    model = VideoCLIP("tiny").eval()
    with torch.no_grad(), counted_runs() as runs:
        torch.export.export(model.encoder.model.vision_model, (torch.zeros(1, 3, 48, 48),))
        program = torch.export.export(_Embedding(model), (clips(),))
    assert not runs
    torch.testing.assert_close(program.module()(clips()), by_its_own_layers(model, clips()), atol=5e-7, rtol=0)


def test_counted_operations_are_those_of_the_layers() -> None:
    model = VideoCLIP("tiny").eval()
    counts = []
    for context in (torch.no_grad, torch.enable_grad):
        with context(), counted_runs() as runs, FlopCounterMode(display=False) as counter:
            model.encode_frames(clips())
        counts.append(counter.get_total_flops())
        assert not runs
    assert counts[0] == counts[1] > 0


class _Embedding(nn.Module):
    def __init__(self, model: VideoCLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.encode_frames(frames)


@pytest.mark.skipif(not BF16, reason="this processor has no products in bf16")
def test_bf16_is_nearer_to_fp32_than_autocast_of_the_layers() -> None:
    model = VideoCLIP("tiny").eval()
    expected = embed(model, clips(8))
    with torch.autocast("cpu", torch.bfloat16):
        found = embed(model, clips(8))
        with torch.backends.mkldnn.flags(enabled=False):
            usual = embed(model, clips(8), expect_packed=False)
    assert found.dtype == torch.float32
    assert float(F.cosine_similarity(found, expected, dim=-1).min()) > 0.9999
    assert float((found - expected).square().mean()) < float((usual - expected).square().mean())
    assert torch.equal(embed(model, clips(8)), expected)  # the fp32 weights are packed again
