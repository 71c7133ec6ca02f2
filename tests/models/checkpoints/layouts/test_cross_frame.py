from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from ost_lightning.errors import CheckpointError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import CategoryName
from ost_lightning.models import CrossFrameVideoCLIP, VideoCLIP
from tests.models.released import Released, converted, sentences


@pytest.fixture(scope="module")
def released() -> Released:
    """Logits by a transcript of the authors' forward pass, which is checked against Hugging Face's by this."""
    return Released.load("checkpoints/layouts/cross_frame")


def state(released: Released) -> dict[str, Tensor]:
    return {f"module.{name}": weight.float() for name, weight in released.part("state.").items()}


@pytest.fixture(scope="module")
def folder(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("x_clip")
    found = converted(state(released), folder, key="model")
    assert (found.layout, found.overlay, found.settings) == ("x_clip", "x_clip", {})
    return folder / "converted"


@torch.no_grad()
def test_logits_are_those_of_the_authors_code(folder: Path, released: Released) -> None:
    tokens = sentences(released["in.token_ids"].long())
    for model in (VideoCLIP(str(folder)).eval(), CrossFrameVideoCLIP(str(folder), frames=4).eval()):
        texts = model.encode_tokens(tokens.tokens["name"][:, 0], tokens.lengths["name"][:, 0])[:, None]
        frames = model.encode_frames(released["in.frames"])
        found = model.similarity_to_logits(similarities(model, CategoryName(), {"name": texts}, frames))
        assert_close(found, released["out.logits"], rtol=1e-5, atol=1e-5)


def test_the_preprocessing_is_that_of_the_training(folder: Path) -> None:
    own = VideoCLIP(str(folder)).preprocessing
    assert (own.statistics_name, own.filter, own.frames, own.short_side) == ("imagenet", "bilinear", 4, 27)


def test_a_layer_that_is_missing_or_of_another_size_is_named(released: Released, tmp_path: Path) -> None:
    tensors = state(released)
    del tensors["module.mit.resblocks.0.ln_2.bias"]
    with pytest.raises(CheckpointError, match=r"layout 'x_clip': .*1 missing \(mit\.resblocks\.0\.ln_2\.bias\)"):
        converted(tensors, tmp_path)
    tensors = state(released)
    tensors["module.prompts_generator.alpha"] = torch.ones(3)
    with pytest.raises(CheckpointError, match=r"prompts_generator\.alpha is \(3,\) instead of \(64,\)"):
        converted(tensors, tmp_path)
    assert not (tmp_path / "converted").exists()
