import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.text import LabelSpace
from tests.models.foreign import RELEASED, payloads, tokenizer
from tests.small_experiments import own_videos

EVALUATION = [
    "--config=toyworld",
    "--model.video_clip.pretrained=ost",
    "--model.video_clip.pixel_statistics=imagenet",
    "--model.video_clip.tuned_from=again",
    "--model.matcher.factor=0.5",
    "--data.clips.crop_size=32",
    "--data.test_clips=1",
    "--data.loading.workers=0",
    "--tracking.wandb=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in a folder that contains only a tokenizer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    tokenizer().save_pretrained("clip")


def test_convert_evaluate_and_convert_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(RELEASED), "ost", "--pretrained=clip"]) == 0
    printed = capsys.readouterr().out
    assert "ost: 62 tensors matched, 0 missing, 0 unexpected, 0 completed, 0 ignored (layout 'released')" in printed
    assert "CC BY-NC-SA 4.0" in printed
    assert main(["convert", "ost", "back.pth"]) == 0
    assert "back.pth: 62 tensors in the layout 'released'" in capsys.readouterr().out
    back = torch.load("back.pth", weights_only=True)["model"]
    assert back["module.image_encoder.proj"].shape == (64, 48)
    assert main(["convert", "ost", "openai.pt", "--layout=openai"]) == 0
    assert torch.load("openai.pt", weights_only=True)["visual.proj"].shape == (64, 48)
    assert main(["convert", "openai.pt", "again", "--pretrained=clip"]) == 0
    assert "CC BY-NC-SA" not in Path("again/ORIGIN.txt").read_text()
    # with the authors' temperature, pixel statistics and ensembling
    assert main(["test", *EVALUATION]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert float(row["test/unseen/videos"]) == 20
    assert "test/unseen/ensembled_0.2/top1" not in row  # here, the released weights are the original ones


def test_mistakes_are_reported_in_a_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(payloads(Path("mark"))["in an extra key"], "hostile.pth")
    for arguments, words in (
        (
            ["hostile.pth", "out"],
            [
                "hostile.pth can't be read as a checkpoint: it would call Python's `posix.system`",
                "none of its code was executed",
            ],
        ),
        (["nothing.pth", "out"], ["There is no checkpoint nothing.pth"]),
        ([str(RELEASED), "clip", "--pretrained=clip"], ["clip already exists"]),
        ([str(RELEASED), "out", "--pretrained=nobody/nothing"], ["There is no pre-trained model 'nobody/nothing'"]),
    ):
        assert main(["convert", *arguments]) == 1
        message = " ".join(capsys.readouterr().err.split())
        for expected in words:
            assert expected in message
        assert "Traceback" not in message
    assert not Path("out").exists()
    assert not Path("mark").exists()


def test_an_own_checkpoint_becomes_a_folder_for_transformers_with_its_classes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = own_videos(Path("videos"))
    assert main(["fit", *small]) == 0
    checkpoint = Path("runs/own_videos/version_0/checkpoints/last.ckpt")
    assert main(["convert", str(checkpoint), "weights/mine"]) == 0
    printed = capsys.readouterr().out
    assert "weights/mine: CLIPModel and tokenizer, 2 classes and 2 with descriptors" in printed
    assert "Trained with OptimalDescriptorSolver, 2 descriptors of each kind and 4 frames per clip." in printed
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
    run = "runs/own_videos"  # its newest checkpoint
    assert main(["convert", run, "weights/bare"]) == 0
    printed = capsys.readouterr().out
    assert "Classes are not included (The video folder videos does not exist." in printed
    assert "Set --labels to include them." in printed
    assert CLIPModel.from_pretrained("weights/bare").num_parameters() > 10**6
    assert main(["convert", run, "weights/full", "--labels=moved"]) == 0
    assert LabelSpace.load("weights/full").names == ("juggling", "swimming")
    assert main(["convert", run, "weights/full"]) == 1
    assert "weights/full already exists" in capsys.readouterr().err
    assert main(["convert", run, "weights/none", "--labels=nothing"]) == 1
    assert not Path("weights/none").exists()
