"""The benchmark of other ways to run the towers: that they compute the same."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ost_lightning.models import VideoCLIP

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return runpy.run_path(str(FOLDER / "tower_variants.py"))


def embeddings_and_gradients(model: VideoCLIP, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    embedded = model.encode_frames(frames)
    embedded.sin().sum().backward()
    return embedded.detach(), {name: part.grad for name, part in model.named_parameters() if part.grad is not None}


def test_one_product_computes_the_same_as_three(script: dict[str, Any]) -> None:
    frames = torch.randint(0, 256, (2, 2, 3, 48, 48), dtype=torch.uint8)
    found, gradients = embeddings_and_gradients(script["with_one_product"](VideoCLIP("tiny")), frames)
    expected, exact = embeddings_and_gradients(VideoCLIP("tiny"), frames)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert gradients.keys() == exact.keys()
    for name, gradient in exact.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=1e-4)


def test_every_way_embeds_as_the_usual_one(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda part, **options: None)  # tested where it is used
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    frames = torch.randint(0, 256, (1, 3, 3, 48, 48), dtype=torch.uint8)
    compiler = script["Compiler"]("inductor")
    with torch.inference_mode():
        expected = VideoCLIP("tiny").encode_frames(frames)
        for name, variant in script["VARIANTS"].items():
            found = variant.prepare(compiler, VideoCLIP("tiny"))(frames)
            assert float(torch.cosine_similarity(found, expected, dim=-1).min()) > 0.999, name
