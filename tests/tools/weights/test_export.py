"""Exports of what was trained, with the classes that it was trained with."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.text import LabelSpace
from tests.small_experiments import own_videos


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def test_a_checkpoint_is_exported_with_the_classes_of_its_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *own_videos(Path("videos"))]) == 0
    checkpoint = Path("runs/own_videos/version_0/checkpoints/last.ckpt")
    assert main(["export", str(checkpoint), "weights/mine"]) == 0
    model = CLIPModel.from_pretrained("weights/mine")
    trained = torch.load(checkpoint, weights_only=True)["state_dict"]
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    torch.testing.assert_close(model.state_dict()[name], trained[f"video_clip.encoder.model.{name}"], rtol=0, atol=0)
    assert AutoTokenizer.from_pretrained("weights/mine")("juggling").input_ids
    labels = LabelSpace.load("weights/mine")
    assert labels == replace(LabelSpace.load("videos"), origin=labels.origin)
    # the same probabilities from the folder as from the checkpoint
    both = [Recognizer.load(weights, ["juggling", "swimming"], "cpu") for weights in (checkpoint, "weights/mine")]
    ours, theirs = (recognizer("videos/0.mp4") for recognizer in both)
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-6)
    # without the videos of the training
    Path("videos").rename("moved")
    capsys.readouterr()
    assert main(["export", "runs/own_videos", "weights/none"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "can't be read (The video folder videos does not exist." in message
    assert "Give --labels or --classes." in message
    assert not Path("weights/none").exists()
    assert main(["export", "runs/own_videos", "weights/full", "--labels=moved"]) == 0
    assert LabelSpace.load("weights/full").names == ("juggling", "swimming")
    assert main(["export", "runs/own_videos", "weights/none", "--labels=nothing"]) == 1
    assert not Path("weights/none").exists()


def test_a_folder_has_its_classes_and_other_weights_need_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "tiny", "first", "--classes=archery, surfing"]) == 0
    assert main(["export", "first", "second"]) == 0
    assert LabelSpace.load("second").names == ("archery", "surfing")
    assert main(["export", "tiny", "out"]) == 1
    assert "tiny has no classes of its own: give --labels" in " ".join(capsys.readouterr().err.split())
    Path("foreign.pth").write_bytes(b"nothing")
    assert main(["export", "foreign.pth", "out"]) == 1
    assert "foreign.pth" in capsys.readouterr().err
    assert not Path("out").exists()
