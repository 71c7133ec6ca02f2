"""Exports of tiny models, executed by their runtimes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, SiglipModel

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.evaluation import probabilities
from ost_lightning.export import ExportSettings, exported_folder, formats
from ost_lightning.export.parity import load_runner
from ost_lightning.matching import OptimalDescriptorSolver, TransportProblem
from ost_lightning.recognition import load_trained_model
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from tests.export.recognizers import ADDITIONS, NAMES, by_class
from tests.models.encoders.siglip_miniature import pixels_of, write_siglip
from tests.small_experiments import own_videos

GRAPHS = ("torch_export", "onnx", "openvino")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    video = tmp_path_factory.mktemp("videos") / "clip.mp4"
    write_mp4(video, render_clip(draw_classes(0)["unseen"][2], seed="an unseen one"))
    return video


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recognizer, Path]:
    """The tiny CLIP with class names, in all formats, through the command line."""
    recognizer = Recognizer.load("tiny", labels=NAMES, device="cpu")
    folder = tmp_path_factory.mktemp("tiny") / "exported"
    arguments = ["export", "tiny", str(folder), f"--classes={','.join(NAMES)}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ost"])
        assert main([*arguments, f"--formats=hf,{','.join(GRAPHS)}"]) == 0
    return recognizer, folder


def descriptors(names: list[str], count: int = 4) -> LabelSpace:
    entries = {
        name: Descriptors(*(tuple(f"{kind} {number} of {name}" for number in range(count)) for kind in ("a", "b")))
        for name in names
    }
    return LabelSpace(tuple(names), entries)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_has_the_suites_probabilities(tiny: tuple[Recognizer, Path], name: str, video: Path) -> None:
    recognizer, folder = tiny
    runner = load_runner(folder)
    found = runner.load(name)(runner.read_clip(video)).mean(0)
    np.testing.assert_allclose(found, by_class(recognizer, video), atol=1e-4)
    assert [NAMES[k] for k in np.argsort(-found)[:5]] == [label for label, _ in recognizer(video).top(5)]
    agreement = json.loads((folder / "export.json").read_text())["agreement"][name]
    assert (agreement["clips"], agreement["videos"]) == (4, "rendered")
    assert agreement["top1_equal"] == agreement["top5_equal"] == 1
    assert 0 <= agreement["largest_difference"] < 1e-4


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("size", [(1, 5), (3, 1), (4, 8)])
def test_batch_and_frames_are_dynamic(tiny: tuple[Recognizer, Path], name: str, size: tuple[int, int]) -> None:
    recognizer, folder = tiny
    frames = torch.randint(256, (*size, 3, 48, 48), dtype=torch.uint8)
    clip = recognizer._video_clip
    with torch.inference_mode():
        expected = probabilities(clip, recognizer.matcher, recognizer._texts, clip.encode_frames(frames)[:, None])
    np.testing.assert_allclose(load_runner(folder).load(name)(frames.numpy()), expected, atol=1e-4)


def test_the_program_runs_on_its_own(tiny: tuple[Recognizer, Path], video: Path) -> None:
    recognizer, folder = tiny
    assert len((folder / "runner.py").read_text().splitlines()) <= 60
    settings = json.loads((folder / "export.json").read_text())
    del settings["graphs"]["torch_export"]  # the first one is used
    without = folder.with_name("without_torch")
    without.mkdir()
    for file in ("runner.py", "model.onnx"):
        (without / file).symlink_to(folder / file)
    (without / "export.json").write_text(json.dumps(settings))
    blocked = "import sys; sys.modules['torch'] = sys.modules['ost_lightning'] = None; import runpy; "
    script = f"{blocked} sys.argv[1:] = sys.argv[2:]; runpy.run_path('runner.py', run_name='__main__')"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script, "-", video],
        cwd=without,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == str(video)
    expected = [f"  {100 * share:5.1f} % {label}" for label, share in recognizer(video).top(5)]
    assert lines[1:] == expected


@torch.no_grad()
def test_transformers_loads_the_folder_with_the_same_features(tiny: tuple[Recognizer, Path], video: Path) -> None:
    recognizer, folder = tiny
    clip = recognizer._video_clip
    frames = torch.from_numpy(load_runner(folder).read_clip(video))[0]
    model, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pixels = clip.normalization(frames)
    features = model.get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(torch.nn.functional.normalize(features), clip.encode_frames(frames[None])[0])
    tokens = tokenizer([NAMES[0]], return_tensors="pt")
    length = torch.tensor([tokens["input_ids"].shape[1]])
    own = torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output)
    torch.testing.assert_close(own, clip.encode_tokens(tokens["input_ids"], length))
    assert AutoImageProcessor.from_pretrained(folder, use_fast=False).image_mean == pytest.approx(
        clip.preprocessing.mean
    )
    saved = load_file(folder / exported_folder.EMBEDDINGS)
    torch.testing.assert_close(saved["name"], recognizer._texts["name"].clone())
    assert LabelSpace.load(folder).names == tuple(NAMES)
    assert Recognizer.load(folder, labels=folder, device="cpu")(video).probabilities == pytest.approx(
        recognizer(video).probabilities, abs=1e-6
    )


def test_nothing_names_this_machine(tiny: tuple[Recognizer, Path]) -> None:
    _, folder = tiny
    here = os.fsencode(Path(exported_folder.__file__).parents[2])
    for file in folder.iterdir():
        assert here not in file.read_bytes(), file.name


@pytest.mark.slow
def test_siglip_with_transport_in_all_formats(tmp_path: Path, video: Path) -> None:
    model = load_trained_model(write_siglip(tmp_path / "siglip"))
    order = OptimalDescriptorSolver(max_iterations=12, temporal=TransportProblem(order_sigma=0.3))
    recognizer = Recognizer(replace(model, matcher=order), descriptors(["jump", "run", "swim"]))
    folder = recognizer.export(tmp_path / "out", ("hf", *GRAPHS))
    runner = load_runner(folder)
    clip = runner.read_clip(video)
    for name in GRAPHS:
        np.testing.assert_allclose(runner.load(name)(clip).mean(0), by_class(recognizer, video), atol=1e-4)
    assert "12 iterations" in (folder / "README.md").read_text()
    frames = torch.from_numpy(clip)
    features = SiglipModel.from_pretrained(folder).eval().get_image_features(pixel_values=pixels_of(frames))
    expected = recognizer._video_clip.encode_frames(frames)[0]
    torch.testing.assert_close(torch.nn.functional.normalize(features.pooler_output), expected)


@pytest.mark.parametrize("graphs", [GRAPHS[:1], pytest.param(GRAPHS, marks=pytest.mark.slow)], ids=len)
def test_the_tiny_siglip_with_sigmoid(tmp_path: Path, video: Path, graphs: tuple[str, ...]) -> None:
    recognizer = Recognizer.load("tiny_siglip", labels=NAMES, device="cpu", scores="sigmoid")
    folder = recognizer.export(tmp_path / "out", ("hf", *graphs))
    runner = load_runner(folder)
    clip = runner.read_clip(video)
    for name in graphs:
        found = runner.load(name)(clip).mean(0)
        np.testing.assert_allclose(found, by_class(recognizer, video), atol=1e-4)
        assert abs(found.sum() - 1) > 0.01
    frames = recognizer._video_clip.normalization(torch.from_numpy(clip[0]))
    with torch.no_grad():
        features = SiglipModel.from_pretrained(folder).eval().get_image_features(pixel_values=frames).pooler_output
        expected = recognizer._video_clip.encode_frames(torch.from_numpy(clip))[0]
    torch.testing.assert_close(torch.nn.functional.normalize(features), expected)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["openai", "pe_core", "mobileclip2"])
def test_models_of_open_clip_in_all_formats(tmp_path: Path, family: str, video: Path) -> None:
    miniatures = pytest.importorskip("tests.models.encoders.open_clip_miniatures")
    model = load_trained_model(f"open_clip:{miniatures.write_open_clip(tmp_path / 'model', family)}")
    recognizer = Recognizer(model, LabelSpace(("jump", "run", "swim")))
    folder = recognizer.export(tmp_path / "out", ("hf", *GRAPHS))
    runner = load_runner(folder)
    for name in GRAPHS:
        found = runner.load(name)(runner.read_clip(video)).mean(0)
        np.testing.assert_allclose(found, by_class(recognizer, video), atol=1e-4)
    again = Recognizer.load(f"open_clip:{folder}", labels=["jump", "run", "swim"], device="cpu")
    assert by_class(again, video) == pytest.approx(by_class(recognizer, video), abs=1e-6)


@pytest.mark.slow
def test_a_checkpoint_of_a_training_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    assert main(["fit", *own_videos(Path("videos"))]) == 0
    assert main(["export", "runs/own_videos", "out", "--labels=videos", f"--formats=hf,{','.join(GRAPHS)}"]) == 0
    trained = Recognizer.load("runs/own_videos", labels="videos", device="cpu")
    runner = load_runner(Path("out").resolve())
    clip = runner.read_clip(Path("videos/0.mp4"))
    assert clip.shape[1] == 4
    for name in GRAPHS:
        np.testing.assert_allclose(runner.load(name)(clip).mean(0), by_class(trained, Path("videos/0.mp4")), atol=1e-4)
    weights = torch.load("runs/own_videos/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    torch.testing.assert_close(
        CLIPModel.from_pretrained("out").state_dict()[name], weights[f"video_clip.encoder.model.{name}"]
    )


@pytest.mark.slow  # that they are part of the graph has a quick test
@pytest.mark.parametrize(
    ("addition", "name"), [pair for pair in product(ADDITIONS, GRAPHS) if pair != ("temporal context", "onnx")]
)
def test_what_is_added_to_clip_is_in_every_format(tmp_path: Path, addition: str, name: str, video: Path) -> None:
    recognizer = ADDITIONS[addition]()
    runner = load_runner(recognizer.export(tmp_path / "out", [name]))
    found = runner.load(name)(runner.read_clip(video)).mean(0)
    np.testing.assert_allclose(found, by_class(recognizer, video), atol=1e-4)


@pytest.mark.slow
def test_temporal_context_is_refused_in_onnx(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"onnx(.|\n)*sort"):  # ONNX has no stable one
        ADDITIONS["temporal context"]().export(tmp_path / "out", ["onnx"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("addition", "described", "files"),
    [
        (
            "learned prompts",
            "ClassContexts (text_prompts), VideoPrompts (vision_prompts)",
            {"text_prompts.safetensors", "vision_prompts.safetensors"},
        ),
        ("temporal context", "TemporalContext (temporal_context)", {"temporal_context.safetensors"}),
    ],
)
def test_what_is_added_to_clip_has_a_file_and_is_described(
    tmp_path: Path, addition: str, described: str, files: set[str]
) -> None:
    folder = ADDITIONS[addition]().export(tmp_path / "out")
    assert described in (folder / "README.md").read_text().replace("\\", "")
    others = {"model.safetensors", exported_folder.EMBEDDINGS}
    assert {file.name for file in folder.glob("*.safetensors")} - others == files


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_the_tiny_clip_with_transport(tmp_path: Path, name: str, video: Path) -> None:
    recognizer = Recognizer.load("tiny", labels="hmdb51", device="cpu")
    folder = recognizer.export(tmp_path / "out", [name])
    runner = load_runner(folder)
    np.testing.assert_allclose(
        runner.load(name)(runner.read_clip(video)).mean(0), by_class(recognizer, video), atol=1e-4
    )


@pytest.mark.slow
def test_reduced_precision_is_of_the_encoder_and_its_agreement_is_stated(tmp_path: Path, video: Path) -> None:
    recognizer = Recognizer.load("tiny", labels=NAMES, device="cpu")
    int8 = recognizer.export(tmp_path / "int8", ["onnx", "openvino"], ExportSettings("int8", videos=[video]))
    bf16 = recognizer.export(tmp_path / "bf16", ["openvino"], ExportSettings("bf16"))
    for folder, names in ((int8, ("onnx", "openvino")), (bf16, ("openvino",))):
        settings = json.loads((folder / "export.json").read_text())
        for name in names:
            runner = load_runner(folder)
            found = runner.load(name)(runner.read_clip(video)).mean(0)
            difference = np.abs(found - by_class(recognizer, video)).max()
            assert 0 < difference < (0.2 if folder == int8 else 0.1)  # three classes are almost as likely
            assert f"| {name} |" in (folder / "README.md").read_text()
            assert settings["agreement"][name]["largest_difference"] < 0.2
    import onnx
    import openvino

    types = [node.op_type for node in onnx.load(int8 / "model.onnx").graph.node]
    assert types.count("MatMulInteger") == 6  # the layers of the second of three blocks
    for file, count in (("model.xml", 2 * 6), ("matching.xml", 0)):  # with their zero points
        model = openvino.Core().read_model(int8 / file)
        constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
        assert [op.get_element_type().get_type_name() for op in constants].count("u8") == count


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_openvino_matches_in_fp32_whatever_the_precision(precision: formats.Precision) -> None:
    parts = list(formats.runtime_settings(precision)["openvino"].items())
    assert parts[-1][1] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert [file for file, _ in parts] == (["model.xml"] if precision == "fp32" else ["model.xml", "matching.xml"])
    assert formats.in_parts("openvino", precision) == (len(parts) == 2)
    assert not formats.in_parts("onnx", precision)
