import json

import torch

from ost_lightning.models import VideoCLIP
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.text import SentenceSet
from studies.tiny_clip.probe import ATTRIBUTES, probe
from studies.tiny_clip.stills import render_stills


def encode_text_of(model: VideoCLIP, sentences: list[str]) -> torch.Tensor:
    tokens = model.tokenize(SentenceSet({"name": tuple((sentence,) for sentence in sentences)}))
    return model.encode_sentences(tokens)["name"][:, 0]


@torch.no_grad()
def test_shipped_model_knows_every_attribute() -> None:
    model = VideoCLIP("tiny")
    # stills that the recipe used neither for training nor for validation
    stills, pixels = render_stills(600, "test of the shipped model", workers=2)
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, 4:68, 4:68].float()
    small = torch.nn.functional.interpolate(frames, size=48, mode="area").round().to(torch.uint8)
    scores = probe(model.encode_frames(small[:, None])[:, 0], stills, lambda texts: encode_text_of(model, texts))
    assert {key: score for key, score in scores.items() if key in ATTRIBUTES and score <= 0.5} == {}


def test_shipped_model_is_small_and_contains_its_recipe() -> None:
    folder = tiny_clip_folder()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    record = json.loads((folder / "pretraining.json").read_text())
    assert record["recipe"]["seed"] == 0
    assert {entry["part"].split(",")[0] for entry in record["log"]} == {"attribute warm-up", "captions and phrases"}
    model = VideoCLIP("tiny")
    assert model.encoder.model.config.text_config.max_position_embeddings == 77
