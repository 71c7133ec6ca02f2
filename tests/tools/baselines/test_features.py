import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizer

from ost_lightning.analysis.results.results_table import table
from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.cli import main
from ost_lightning.tasks.feature_rehearsal import rehearsal_rate

NAMES = ("juggling", "riding", "swimming")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NAMES, "ball", "horse", "water", ":", "with", "a")
THINGS = ("ball", "horse", "water")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny BERT, and features, objects and definitions of six videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    Path("vocab.txt").write_text("\n".join(WORDS) + "\n")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertTokenizer("vocab.txt").save_pretrained("bert")
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained("bert")
    Path("names").mkdir()
    Path("names/classes.txt").write_text("".join(f"{name}\n" for name in NAMES))
    Path("list.txt").write_text("".join(f"{k}.mp4 {k % 3}\n" for k in range(6)))
    save_file({f"{k}.mp4": torch.eye(4)[k % 3] + 0.01 * k for k in range(6)}, "f.safetensors")
    Path("c.json").write_text(json.dumps({f"{k}.mp4": [f"a {THINGS[k % 3]}", "water"] for k in range(6)}))
    Path("d.json").write_text(json.dumps({name: f"with a {THINGS[k]}" for k, name in enumerate(NAMES)}))


FILES = ["--list=list.txt", "--features=f.safetensors", "--concepts=c.json", "--labels=names", "--definitions=d.json"]
FIT = ["features", "fit", *FILES, "--output=head", "--text_model=bert", "--batch_size=3", "--width=8"]
FIT += ["--learning_rate=0.02", "--accelerator=cpu"]
TEST = ["features", "test", *FILES, "--checkpoint=head/last.ckpt", "--output=head/test", "--name=tiny *features*"]


def test_a_head_learns_its_training_videos_and_is_named_in_tables() -> None:
    assert main([*FIT, "--epochs=30"]) == 0
    assert main(TEST) == 0
    results = RunResults.load(Path("head/test/results.json"))
    score = results.sets["names"].scores["as trained"]
    assert (score.top1, score.top5, score.scored) == (1.0, 1.0, 6)
    assert results.model["features"]["width"] == 4
    (row,) = table([results])
    assert row.method == "head after ER-ZSAR, features: tiny *features*"
    assert row.backbone == "features: tiny *features*"
    assert "not comparable with the published ER-ZSAR" in row.remarks[0]
    assert "features: tiny *features*" not in Path("head/test/results.md").read_text()  # escaped


def test_training_continues_with_the_same_settings_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "--epochs=1"]) == 0
    assert main([*FIT, "--epochs=2"]) == 0
    content = torch.load("head/last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    assert main([*FIT, "--epochs=3", "--learning_rate=0.5"]) == 1
    assert "trained with another learning_rate: choose another folder" in " ".join(capsys.readouterr().err.split())


def test_features_of_another_width_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "--epochs=1"]) == 0
    save_file({f"{k}.mp4": torch.zeros(5) for k in range(6)}, "f.safetensors")
    assert main(TEST) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "the feature of 0.mp4 has shape (5,), but the model's features have 4" in message


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("c.json", {f"{k}.mp4": ["ball"] for k in range(5)}, "no list of objects for the video 5.mp4"),
        ("c.json", {f"{k}.mp4": [] for k in range(6)}, "no list of objects for the video 0.mp4"),
        ("d.json", {"juggling": "x", "riding": "y"}, "no definition of the class 'swimming'"),
        ("d.json", [], "expected an object in braces"),
    ],
)
def test_incomplete_files_are_rejected_by_name(
    file: str, content: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(json.dumps(content))
    assert main(FIT) == 1
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({f"{k}.mp4": torch.zeros(4) for k in range(5)}, "no features of 1 listed videos (first: 5.mp4)"),
        ({f"{k}.mp4": torch.zeros(4 + (k == 3)) for k in range(6)}, "the feature of 3.mp4 has shape (5,)"),
        (
            {f"{k}.mp4": torch.full((4,), torch.nan) for k in range(6)},
            "the feature of 0.mp4 has values that are NaN",
        ),
    ],
)
def test_damaged_features_are_rejected_by_name(
    features: dict[str, torch.Tensor], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(features, "f.safetensors")
    assert main(FIT) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_schedule_is_that_of_the_authors() -> None:
    """Rates of 17,000 steps with 1,700 of warm-up from 1/128 of the peak."""
    assert rehearsal_rate(0, 17_000, 0.1) == pytest.approx(1 / 128)
    assert rehearsal_rate(850, 17_000, 0.1) == pytest.approx((1 / 128) ** 0.5)
    assert rehearsal_rate(1_700, 17_000, 0.1) == pytest.approx(1)
    assert rehearsal_rate(8_500, 17_000, 0.1) == pytest.approx(1 / (1 + 0.9510565))
    assert rehearsal_rate(17_000, 17_000, 0.1) == pytest.approx(0)
