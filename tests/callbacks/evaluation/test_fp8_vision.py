"""Evaluation in fp8, on a CPU, which computes the same products."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from ost_lightning.callbacks import CompiledVision, Fp8Vision, ResultsWriter
from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP, frame_fingerprint
from ost_lightning.recognition import load_trained_model
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.toyworld.clips import render_clip
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes
from tests.callbacks.evaluation.test_descriptor_usage import videos

REMARK = "The linear layers of the vision tower computed in fp8 (e4m3)."


def trainer(folder: Path, *callbacks: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def task() -> ContrastiveRecognition:
    return ContrastiveRecognition(VideoCLIP("tiny"), OptimalDescriptorSolver(), descriptors_per_class=2)


def test_rendered_videos_are_recognized_as_in_full_precision() -> None:
    labels, actions = label_space(0, "unseen"), draw_classes(0)["unseen"]
    rendered = np.stack([render_clip(action, "a")[::4] for action in actions])
    side = (rendered.shape[2] - 48) // 2
    clips = torch.from_numpy(rendered)[:, None, :, side : side + 48, side : side + 48].movedim(-1, -3)
    found = {}
    for name, fp8_on in (("exact", ()), ("fp8", (torch.device("cpu"),))):
        model = load_trained_model("tiny", fp8_on=fp8_on)
        model.video_clip.eval()
        sentences = model.templates.apply(labels, model.matcher.kinds, 4, model.video_clip.token_count)
        with torch.inference_mode():
            texts = model.video_clip.encode_sentences(model.video_clip.tokenize(sentences))
            found[name] = probabilities(model.video_clip, model.matcher, texts, embed(model.video_clip, clips))
    right = torch.arange(len(actions))
    assert float((found["exact"].argmax(-1) == right).float().mean()) > 0.3  # chance is 0.05
    assert float((found["exact"].argmax(-1) == found["fp8"].argmax(-1)).float().mean()) >= 0.9
    assert 0 < float((found["exact"] - found["fp8"]).abs().max()) < 0.15


@pytest.mark.filterwarnings("ignore:.*broken")
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_results_say_that_a_test_was_in_fp8(compiled: bool, tmp_path: Path) -> None:
    more = [CompiledVision()] if compiled else []
    trainer(tmp_path, *more, Fp8Vision(), ResultsWriter()).test(task(), datamodule=videos(tmp_path), verbose=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"]["vision_products"] == "fp8"
    assert REMARK in results["remarks"]
    assert REMARK in (tmp_path / "results.md").read_text()


@pytest.mark.filterwarnings("ignore:.*broken")
def test_results_say_nothing_otherwise(tmp_path: Path) -> None:
    trainer(tmp_path, ResultsWriter()).test(task(), datamodule=videos(tmp_path), verbose=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert "vision_products" not in results["model"]
    assert REMARK not in results["remarks"]


def test_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Fp8Vision is for evaluation.*remove the callback"):
        Fp8Vision().setup(trainer(tmp_path), task(), "fit")


def test_cached_embeddings_are_others() -> None:
    model = VideoCLIP("tiny")
    before = frame_fingerprint(model, "32-true cpu")
    model.encoder.use_fp8([torch.device("cpu")])
    assert frame_fingerprint(model, "32-true cpu") != before
