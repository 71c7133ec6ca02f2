from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ost_lightning.models import (
    AdaptedVideoCLIP,
    AffixPrompts,
    LoRA,
    PromptedVideoCLIP,
    TokenizedSentences,
    VideoCLIP,
    use_cpu_precision,
)
from ost_lightning.models.encoders.towers import packed, packed_linear
from ost_lightning.models.encoders.x_clip import XCLIPEncoder
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.text import SentenceSet
from tests.models.encoders.families import FAMILIES

pytestmark = pytest.mark.skipif(
    not packed_linear.is_supported(torch.float32), reason="packed weights are for x86 with AVX2"
)
WORDS = "a person rides the horse over many small hills and then rests"
SENTENCES = SentenceSet(
    {
        "spatio": tuple((WORDS[: 1 + 2 * row], WORDS[: 1 + row // 2]) for row in range(12)),
        "temporal": tuple((WORDS[: 30 - row],) for row in range(12)),
    }
)


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Types in which layers were packed; the number of tokens that makes it worthwhile is 1."""
    found: list[torch.dtype] = []
    pack = packed._PackedWeights.of

    def counted(layers: Any, dtype: torch.dtype) -> Any:
        found.append(dtype)
        return pack(layers, dtype)

    monkeypatch.setattr(packed._PackedWeights, "of", counted)
    monkeypatch.setattr(packed, "_WORTH_PACKING", 1)
    return found


def embed(model: VideoCLIP, tokens: TokenizedSentences | None = None) -> Tensor:
    with torch.no_grad():
        embedded = model.encode_sentences(tokens or model.tokenize(SENTENCES))
    return torch.cat([rows.flatten(0, 1) for rows in embedded.values()])


def by_its_own_layers(model: VideoCLIP) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_WORTH_PACKING", 10**9)
        return embed(model)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["LongCLIP", "TinyCLIP", "MetaCLIP 2", "SigLIP", "SigLIP 2"])
@pytest.mark.parametrize("rows", [1, 60, 10_000])
def test_embeddings_are_those_of_the_layers(
    name: str,
    attention: Literal["sdpa", "eager"],
    rows: int,
    tmp_path: Path,
    packings: list[torch.dtype],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed, "_ROWS", rows)
    monkeypatch.setattr(packed, "_ROWS_PER_THREAD", 1)
    model = VideoCLIP(str(FAMILIES[name].write(tmp_path)), attention=attention).eval()
    expected = by_its_own_layers(model)
    assert not packings
    torch.testing.assert_close(embed(model), expected, atol=5e-7, rtol=0)
    assert packings == [torch.float32]


def test_x_clip_has_packed_sentences(packings: list[torch.dtype]) -> None:
    encoder = XCLIPEncoder.from_image_clip(str(tiny_clip_folder()), frames=4, prompt_layers=1, prompt_alpha=0.1).eval()
    tokens, lengths = encoder.tokenizer(WORDS.split())
    with torch.no_grad():
        found = encoder.encode_tokens(tokens, lengths)
    assert packings
    torch.testing.assert_close(found, encoder.encode_tokens(tokens, lengths).detach(), atol=1e-5, rtol=1e-5)
    assert len(packings) == 1


def test_learned_prompts_pass_through_packed_layers(packings: list[torch.dtype]) -> None:
    model = PromptedVideoCLIP("tiny", freeze_text=True, freeze_vision=True, text_prompts=AffixPrompts).eval()
    expected = by_its_own_layers(model)
    assert not packings
    torch.testing.assert_close(embed(model), expected, atol=5e-7, rtol=0)
    assert packings


def test_padding_beyond_a_group_of_similar_length_is_not_computed(
    packings: list[torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_ROWS", 40)
    monkeypatch.setattr(packed, "_ROWS_PER_THREAD", 1)
    model, shapes = VideoCLIP("tiny").eval(), list[tuple[int, int]]()
    run = packed._PackedLayer.run

    def recorded(layer: Any, states: Tensor, *options: Any, **more: Any) -> Tensor:
        shapes.append((states.shape[0], states.shape[1]))
        return run(layer, states, *options, **more)

    monkeypatch.setattr(packed._PackedLayer, "run", recorded)
    tokens, lengths = torch.full((6, 20), model.encoder.end_token), torch.tensor([20, 3, 19, 4, 4, 20])
    for row, length in zip(tokens, lengths, strict=True):
        row[: length - 1] = 5
    with torch.no_grad():
        model.encode_tokens(tokens, lengths)
    assert packings
    layers = len(model.encoder.tower("text").layers)
    assert shapes == [shape for shape in ((2, 20), (2, 19), (2, 4)) for _ in range(layers)]


def test_few_sentences_are_not_worth_packing(packings: list[torch.dtype], monkeypatch: pytest.MonkeyPatch) -> None:
    model = VideoCLIP("tiny").eval()
    monkeypatch.setattr(packed, "_WORTH_PACKING", 24)
    for count, expected in ((5, 0), (6, 1)):
        with torch.no_grad():
            model.encode_tokens(torch.full((count, 4), 5), torch.full((count,), 4))
        assert len(packings) == expected


def test_changed_weights_are_used(packings: list[torch.dtype]) -> None:
    model = VideoCLIP("tiny").eval()
    before = embed(model)
    for parameter in model.encoder.model.text_model.parameters():
        parameter.data.copy_(parameter.data * 1.1)  # which no version counts
    found = embed(model)
    assert float((found - before).abs().max()) > 1e-4
    torch.testing.assert_close(found, by_its_own_layers(model), atol=5e-7, rtol=0)


def test_gradients_and_special_layers_keep_the_usual_way(packings: list[torch.dtype]) -> None:
    training = VideoCLIP("tiny")
    training.encode_sentences(training.tokenize(SENTENCES))["spatio"].sum().backward()
    assert training.encoder.model.text_model.encoder.layers[0].mlp.fc1.weight.grad is not None
    hooked = VideoCLIP("tiny").eval()
    hooked.encoder.model.text_model.encoder.layers[1].mlp.fc1.register_forward_hook(lambda *_: None)
    embed(hooked)
    embed(AdaptedVideoCLIP("tiny", lora=LoRA(towers="text")).eval())
    with FlopCounterMode(display=False):
        embed(VideoCLIP("tiny").eval())
    assert not packings


def test_only_autocast_changes_the_precision(packings: list[torch.dtype]) -> None:
    model = VideoCLIP("tiny").eval()
    expected = embed(model)
    if packed_linear.is_supported(torch.bfloat16):
        use_cpu_precision(model.encoder, "bf16", torch.device("cpu"))
        assert torch.equal(embed(model), expected)  # sentences stay in fp32
        with torch.autocast("cpu", torch.bfloat16):
            lower = embed(model)
        assert packings == [torch.float32, torch.float32, torch.bfloat16]
        assert float(F.cosine_similarity(lower, expected, dim=-1).min()) > 0.999
