import json

import pytest
import torch

from ost_lightning.models import VideoCLIP
from ost_lightning.resources import TINY_MODELS, tiny_model_folder
from ost_lightning.text import SentenceSet
from ost_lightning.toyworld.vocabulary import SETTINGS
from studies.tiny_clip.probe import ATTRIBUTES, probe
from studies.tiny_clip.stills import render_stills


def encode_text_of(model: VideoCLIP, sentences: list[str]) -> torch.Tensor:
    tokens = model.tokenize(SentenceSet({"name": tuple((sentence,) for sentence in sentences)}))
    return model.encode_sentences(tokens)["name"][:, 0]


@torch.no_grad()
@pytest.mark.parametrize("name", TINY_MODELS)
def test_shipped_model_knows_every_attribute(name: str) -> None:
    model = VideoCLIP(name)
    # stills that the recipe used neither for training nor for validation
    stills, pixels = render_stills(600, "test of the shipped model", workers=2)
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, 4:68, 4:68].float()
    small = torch.nn.functional.interpolate(frames, size=48, mode="area").round().to(torch.uint8)
    scores = probe(model.encode_frames(small[:, None])[:, 0], stills, lambda texts: encode_text_of(model, texts))
    assert {key: score for key, score in scores.items() if key in ATTRIBUTES and score <= 0.5} == {}


@pytest.mark.parametrize(("name", "positions"), [("tiny", 77), ("tiny_siglip", 48)])
def test_shipped_model_is_small_and_contains_its_recipe(name: str, positions: int) -> None:
    folder = tiny_model_folder(name)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
    record = json.loads((folder / "pretraining.json").read_text())
    assert record["recipe"]["seed"] == 0
    assert {entry["part"].split(",")[0] for entry in record["log"]} == {"attribute warm-up", "captions and phrases"}
    encoder = VideoCLIP(name).encoder
    assert encoder.model.config.text_config.max_position_embeddings == positions
    assert (encoder.logit_bias is not None) == (encoder.model_type == "siglip")
    assert encoder.preprocessing.resize == "shortest_side"


@torch.no_grad()
def test_probabilities_of_the_twin_are_absolute() -> None:
    model = VideoCLIP("tiny_siglip", scores="sigmoid")
    stills, pixels = render_stills(200, "test of the twin", workers=1)
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, 4:68, 4:68].float()
    small = torch.nn.functional.interpolate(frames, size=48, mode="area").round().to(torch.uint8)
    places = {setting: f"a photo of {phrases[0]}" for setting, phrases in SETTINGS.items()}
    cosines = model.encode_frames(small[:, None])[:, 0] @ encode_text_of(model, list(places.values())).T
    found = model.class_probabilities(cosines)
    shown = torch.tensor([[still.appearance.setting == setting for setting in places] for still in stills])
    assert float(found[shown].median()) > 0.5 > float(found[~shown].quantile(0.95))
