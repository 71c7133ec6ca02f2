import json
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid, normalize

from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders.siglip import SiglipEncoder
from ost_lightning.toyworld.vocabulary import COLORS, PROPS
from studies.tiny_clip.__main__ import main
from studies.tiny_clip.architecture import Architecture, tiny_siglip, train_tokenizer
from studies.tiny_clip.captions import caption, visible_phrases
from studies.tiny_clip.phrase_banks import NO_ANSWER, phrase_banks
from studies.tiny_clip.pretraining import FullPrecision, Recipe, pretrain, sigmoid_loss
from studies.tiny_clip.probe import ATTRIBUTES
from studies.tiny_clip.stills import render_stills, sample_still


def test_stills_do_not_depend_on_the_number_of_workers() -> None:
    alone, pixels = render_stills(12, "x", workers=1, chunk=4)
    together, same = render_stills(12, "x", workers=2, chunk=4)
    assert alone == together
    assert np.array_equal(pixels, same)
    assert len({still.state for still in alone}) > 3


def test_captions_describe_only_what_is_visible() -> None:
    rng = random.Random(0)
    for _ in range(200):
        still = sample_still(rng)
        words = caption(still.appearance, still.state, rng, verb_rate=0)
        phrases = set(visible_phrases(still.appearance, random.Random(0)))
        assert {"setting", "prop", "outfit"} <= phrases
        absent = set(COLORS) - {still.appearance.outfit, still.appearance.prop_color}
        mentioned = {
            color for color in absent if f" {color} {still.appearance.prop}" in words or f"{color} clothes" in words
        }
        assert not mentioned


@pytest.fixture(scope="module")
def siglip() -> SiglipEncoder:
    torch.manual_seed(0)
    return tiny_siglip(train_tokenizer("test", stills=200))


def test_the_twin_begins_as_in_the_paper(siglip: SiglipEncoder) -> None:
    scale, bias = siglip.logit_parameters
    assert (float(scale.detach().exp()), float(bias.detach())) == pytest.approx((10, -10))
    assert scale.requires_grad
    assert bias.requires_grad  # only pre-training moves it
    positions = siglip.model.vision_model.embeddings.position_embedding.weight
    assert float(positions.detach().norm(dim=1).std()) < 1e-4  # sinusoids, all of one length


def test_the_sigmoid_loss_is_that_of_transformers(siglip: SiglipEncoder) -> None:
    pixels, sentences = torch.randn(4, 3, 48, 48), ["a red drum", "a blue ball", "someone on a beach", "a hat"]
    tokens, lengths = siglip.tokenizer(sentences)
    assert tokens.shape == (4, 48)
    seen, read = siglip.encode_pixels(pixels), siglip.encode_tokens(tokens, lengths)
    similarities = normalize(seen, dim=-1) @ normalize(read, dim=-1).T
    found = sigmoid_loss(siglip.similarity_to_logits(similarities), torch.arange(4))
    expected = siglip.model(input_ids=tokens, pixel_values=pixels, return_loss=True).loss
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    found.backward()
    assert siglip.logit_bias.grad is not None


def test_a_still_that_no_phrase_describes_is_a_negative_of_all_phrases() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    found = sigmoid_loss(logits, torch.tensor([1, NO_ANSWER]))
    expected = -(logsigmoid(-logits[0, 0]) + logsigmoid(logits[0, 1]) + logsigmoid(-logits[1]).sum()) / 2
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["clip", "siglip"])
def test_pretraining_learns_and_writes_a_loadable_folder(architecture: Architecture, tmp_path: Path) -> None:
    recipe = Recipe(architecture, stills=300, held_out=100, warmup_steps=12, caption_steps=1, caption_batch=16)
    scores = pretrain(tmp_path / "tiny", recipe, device="cpu", workers=2)
    assert set(ATTRIBUTES) < set(scores)
    assert all(0 <= score <= 1 for score in scores.values())
    log = json.loads((tmp_path / "tiny" / "pretraining.json").read_text())["log"]
    warmup = [entry for entry in log if entry["part"].startswith("attribute")]
    assert warmup[-1]["loss"] < warmup[0]["loss"]
    model = VideoCLIP(str(tmp_path / "tiny"))
    assert model.encoder.model_type == architecture
    assert (model.image_size, model.preprocessing.resize) == (48, "shortest_side")
    texts = ["a photo of a drum", "a red ball"]
    assert len({tuple(tokens) for tokens in model.encoder.tokenizer.read(texts)}) == 2


def test_muon_without_bf16_products_takes_the_same_steps() -> None:
    gradients = torch.randn(3, 48, 96)
    weights = []
    for products in (nullcontext(), FullPrecision()):
        weight = torch.nn.Parameter(torch.ones(48, 96))
        muon = torch.optim.Muon([weight], lr=0.02, momentum=0.95)
        for gradient in gradients:
            weight.grad = gradient.clone()
            with products:
                muon.step()
            assert torch.equal(weight.grad, gradient)
        weights.append(weight.detach() - 1)
    assert not torch.equal(*weights)
    assert (weights[0] - weights[1]).norm() < 0.02 * weights[1].norm()
    with FullPrecision():
        assert torch.ones(2).bfloat16().dtype == torch.float32


def test_phrase_banks_have_one_correct_answer() -> None:
    rng = random.Random(0)
    for _ in range(100):
        still = sample_still(rng)
        focus = rng.sample(PROPS, 2)
        banks = phrase_banks(focus, rng)
        assert [len(bank.values) for bank in banks] == [14, 8, 4, 10, 16, 16, 52]
        answers = [bank.answer(still) for bank in banks]
        assert still.appearance.prop in banks[4].phrases[answers[4]]
        for bank, answer in zip(banks[5:], answers[5:], strict=True):
            assert (answer >= 0) == (still.appearance.prop in focus)
            if answer >= 0:
                assert bank.values[answer] == bank.shown(still)


@pytest.mark.slow
def test_recipe_reaches_its_figures_in_half_an_hour(tmp_path: Path) -> None:
    scores = pretrain(tmp_path, Recipe(), workers=2)
    assert all(scores[key] > 0.5 for key in ATTRIBUTES)
    log = json.loads((tmp_path / "pretraining.json").read_text())["log"]
    assert {entry["part"].split(",")[0] for entry in log} == {"attribute warm-up", "captions and phrases"}


def test_the_command_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["tiny_clip", "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "usage: python -m studies.tiny_clip" in capsys.readouterr().out
    readme = Path(__file__).parents[2] / "studies/tiny_clip/README.md"
    assert "\npython -m studies.tiny_clip OUTPUT\n" in readme.read_text()
