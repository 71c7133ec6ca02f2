import json
import random
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from ost_lightning.models import VideoCLIP
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.text import SentenceSet
from ost_lightning.toyworld.phrase_banks import phrase_banks
from ost_lightning.toyworld.pretraining import FullPrecision, Recipe, pretrain
from ost_lightning.toyworld.probe import ATTRIBUTES, probe
from ost_lightning.toyworld.stills import render_stills, sample_still
from ost_lightning.toyworld.vocabulary import PROPS


def encode_text_of(model: VideoCLIP, sentences: list[str]) -> torch.Tensor:
    tokens = model.tokenize(SentenceSet({"name": tuple((sentence,) for sentence in sentences)}))
    return model.encode_sentences(tokens)["name"][:, 0]


@torch.no_grad()
def test_shipped_model_knows_every_attribute() -> None:
    model = VideoCLIP("tiny")
    # other stills than those of the recipe, training and held out
    stills, pixels = render_stills(600, "test of the shipped model", workers=2)
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, 4:68, 4:68].float()
    small = torch.nn.functional.interpolate(frames, size=48, mode="area").round().to(torch.uint8)
    scores = probe(model.encode_frames(small[:, None])[:, 0], stills, lambda texts: encode_text_of(model, texts))
    assert {key: score for key, score in scores.items() if key in ATTRIBUTES and score <= 0.5} == {}


def test_shipped_model_is_small_and_tells_its_recipe() -> None:
    folder = tiny_clip_folder()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    told = json.loads((folder / "pretraining.json").read_text())
    assert told["recipe"]["seed"] == 0
    assert {entry["part"].split(",")[0] for entry in told["log"]} == {"attribute warm-up", "captions and phrases"}
    model = VideoCLIP("tiny")
    assert model.encoder.model.config.text_config.max_position_embeddings == 77


def test_pretraining_learns_and_writes_a_folder_that_is_read(tmp_path: Path) -> None:
    recipe = Recipe(stills=700, warmup_steps=24, caption_steps=4, caption_batch=32)
    scores = pretrain(tmp_path / "tiny", recipe, device="cpu", workers=2)
    assert set(ATTRIBUTES) < set(scores)
    assert all(0 <= score <= 1 for score in scores.values())
    log = json.loads((tmp_path / "tiny" / "pretraining.json").read_text())["log"]
    warmup = [entry for entry in log if entry["part"].startswith("attribute")]
    assert warmup[-1]["loss"] < warmup[0]["loss"]
    assert warmup[-1]["accuracy"]["setting"] > 0.3  # chance is .07
    assert VideoCLIP(str(tmp_path / "tiny")).image_size == 48


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


def test_phrase_banks_have_one_right_answer() -> None:
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
