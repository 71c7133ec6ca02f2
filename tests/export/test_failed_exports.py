"""Exports that are refused, fail or are interrupted: each is told, and leaves nothing."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.export import ExportSettings, exported_folder, formats
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import LabelSpace
from tests.full_disk import files_of_at_most
from tests.models.encoders import test_x_clip

x_clip = test_x_clip.folder  # the fixture with a random X-CLIP
NAMES = ("archery", "surfing")


def test_an_export_that_differs_leaves_nothing(tmp_path: Path) -> None:
    sharp = replace(load_trained_model("tiny"), matcher=OptimalDescriptorSolver(epsilon=0.02))
    recognizer = Recognizer(sharp, LabelSpace.load("hmdb51"))
    with pytest.raises(UserError, match=r"differ from the suite's by up to .* raise the number of iterations"):
        recognizer.export(tmp_path / "out", ["torch_export"], ExportSettings(iterations=1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("visual_projection.weight", r"hf fails on a random clip: once loaded, its embeddings differ .* by up to 0\."),
        ("text_projection.weight", r"hf fails on class names: once loaded, its embeddings differ .* by up to 0\."),
        ("tokenizer.json", r"hf fails, because it can't be loaded: The tokenizer of"),
    ],
)
def test_a_folder_that_loads_as_another_model_leaves_nothing(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer, save = Recognizer.load("tiny", labels=NAMES, device="cpu"), CLIPEncoder.save_pretrained

    def save_otherwise(encoder: CLIPEncoder, folder: Path, preprocessing: Preprocessing | None = None) -> None:
        save(encoder, folder, preprocessing)
        if name == "tokenizer.json":
            (folder / name).unlink()
            return
        weights = load_file(folder / "model.safetensors")
        save_file(weights | {name: weights[name].roll(1, 0)}, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(CLIPEncoder, "save_pretrained", save_otherwise)
    with pytest.raises(UserError, match=message):
        recognizer.export(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_or_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer.load("tiny", labels=NAMES, device="cpu")
    with files_of_at_most(100_000), pytest.raises(Exception, match=r"[Ff]ile too large|I/O error|os error 27"):
        recognizer.export(tmp_path / "out")
    assert not list(tmp_path.iterdir())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exported_folder, "model_card", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recognizer.export(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--formats=onnx,tflite"], "There is no format 'tflite': expected some of hf, torch_export, onnx, openvino"),
        (["--formats=,"], "There is no format: expected"),
        (["--formats=torch_export", "--precision=int8"], "torch_export has no precision int8"),
        (["--precision=bf16"], "hf keeps the precision of the weights"),
        (["--compare=clips"], "--compare is for formats with a graph"),
        (["--formats=torch_export", "--iterations=0"], "expected at least 1"),
        (["--push=me/model"], "set the environment variable HF_TOKEN"),
        (["--results=nothing.json"], "nothing.json is not the results.json of a test run"),
    ],
)
def test_mistakes_are_sentences(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["ost"])
    assert main(["export", "tiny", "out", "--classes=archery, surfing", *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_existing_folders_missing_packages_and_models_without_graph(
    tmp_path: Path,
    x_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = Recognizer.load("tiny", labels=NAMES, device="cpu")
    with pytest.raises(UserError, match="already exists: choose another name"):
        recognizer.export(tmp_path)
    three = replace(load_trained_model("tiny"), matcher=CategoryName())
    three = replace(three, clips=replace(three.clips, crops=3))
    strided = load_trained_model("tiny")
    strided = replace(strided, clips=replace(strided.clips, stride=2))
    with pytest.raises(UserError, match=r"clips.stride is 2, but runner.py reads .* frames over the whole video"):
        Recognizer(strided, LabelSpace(("a", "b"))).export(tmp_path / "strided", ["onnx"])
    with pytest.raises(UserError, match=r"clips.crops is 3, but runner.py reads one crop"):
        Recognizer(three, LabelSpace(("a", "b"))).export(tmp_path / "out", ["onnx"])
    with pytest.raises(UserError, match=r"XCLIPEncoder can't be written as a graph.*its texts depend on the video"):
        Recognizer.load(x_clip, labels=["t1", "t2"], device="cpu").export(tmp_path / "out", ["onnx"])
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    for name in ("onnx", "openvino"):
        with pytest.raises(UserError, match=rf"The format {name} needs .*: pip install 'ost-lightning\[{name}\]'"):
            recognizer.export(tmp_path / "out", [name])
    assert not list(tmp_path.iterdir())
