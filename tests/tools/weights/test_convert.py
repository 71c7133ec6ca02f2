import csv
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main
from tests.models.foreign import RELEASED, payloads, tokenizer
from tests.models.released import Released

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


def test_parts_beside_the_clip_say_which_options_use_them(capsys: pytest.CaptureFixture[str]) -> None:
    released = Released.load("prompts/vita_clip")
    torch.save({"model": released.part("state/")}, "vita.pth")
    tokenizer(40).save_pretrained("forty")
    Path("labels").mkdir()
    Path("labels/classes.txt").write_text("".join(f"{name}\n" for name in released.names()))
    arguments = ["convert", "vita.pth", "my vita", "--pretrained=forty"]
    assert main(arguments) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "contexts of 3 classes, but not their names: name the label space of the training with --labels" in message
    assert main([*arguments, "--labels=labels"]) == 0
    printed = capsys.readouterr().out
    assert "(layout 'vita_clip')" in printed
    assert "CC BY-NC-SA" not in printed
    assert (
        "These options use it: --config baselines/vita_clip --model.video_clip.pretrained 'my vita' "
        "--model.video_clip.vision_prompts.frames 4 --model.video_clip.vision_prompts.global_prompts 5 "
        "--model.video_clip.text_prompts.contexts_per_class 3 --data.clips.frames 4"
    ) in printed
    assert sorted(path.name for path in Path("my vita").glob("*.safetensors")) == [
        "model.safetensors",
        "text_prompts.safetensors",
        "vision_prompts.safetensors",
    ]


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


def test_an_own_checkpoint_is_for_export(capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("runs/a run")
    (run / "checkpoints").mkdir(parents=True)
    file = run / "checkpoints" / "last.ckpt"
    torch.save({"state_dict": {"video_clip.a": torch.zeros(1)}, "pytorch-lightning_version": "2.6.6"}, file)
    for source in (file, run):
        assert main(["convert", str(source), "mine"]) == 1
        message = " ".join(capsys.readouterr().err.split())
        assert f"{source} was written by `ost fit`." in message
        assert f"`ost export '{source}' mine`" in message
    assert not Path("mine").exists()
