"""Folders of open_clip that are damaged, or whose parts don't belong together."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models import VideoCLIP, weights_digest
from ost_lightning.models.encoders.open_clip import OpenCLIPEncoder
from ost_lightning.models.encoders.open_clip.source import CONFIG_FILE, WEIGHTS_FILE
from tests.models.encoders.open_clip_miniatures import FAMILIES, VIT, write_open_clip


@pytest.fixture(scope="module")
def laion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_open_clip(tmp_path_factory.mktemp("laion"), "laion")


PICKLE = b"cos\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_cfg": {**VIT, "image_size": 64}}, "another architecture or image size: .* and 1 have another shape"),
        ({"vision_cfg": {**VIT, "layers": 3}}, r"architecture or image size: 12 are missing, 0 unknown"),
        ({"vision_cfg": {**VIT, "layers": 1}}, r"architecture or image size: 0 are missing, 12 unknown"),
        ({"vision_cfg": {**VIT, "depth": 3}}, r"can't build the model of .* argument 'depth'"),
        ({"vision_cfg": {"timm_model_name": "vit_of_nobody"}}, r"can't build the model of .*\(Unknown model"),
        ({"vision_cfg": {**VIT, "image_size": [48, 64]}}, r"not supported: it has frames that are not square"),
        ({"vision_cfg": {**FAMILIES["eva02"].vision, "image_size": 64}}, "is 64 x 64 pixels, but .* reads 48 x 48"),
        ({"init_logit_bias": -10}, r"architecture or image size: 1 are missing, .*first: logit_bias"),
        ({"multimodal_cfg": {}}, "not supported: it has CoCa, whose text embedding depends on a mask"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, r"a text tower of transformers \(roberta-base\)"),
        ({"text_cfg": {"tokenizer_kwargs": {"reduction_mask": "random"}}}, "a tokenizer that drops tokens at random"),
        ({"text_cfg": {"vocab_size": 32000}}, "has 49408 tokens, but the model has 32000: the"),
        ({"text_cfg": {"hf_tokenizer_name": "x/y"}}, "The tokenizer of .* is missing or damaged in"),
    ],
)  # fmt: skip
def test_weights_and_settings_have_to_belong_together(
    changes: dict[str, Any], message: str, laion: Path, tmp_path: Path
) -> None:
    shutil.copytree(laion, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    config["model_cfg"] |= changes
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        VideoCLIP(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.5]}, r"mean is \[0\.5\] and std is .*, expected three numbers each"),
        ({"mean": "half"}, r"mean is 'half' and std is .*, expected three numbers each"),
        ({"resize_mode": "longest"}, "not supported: it has the resize mode 'longest'"),
        ({"interpolation": "random"}, "not supported: it has the interpolation 'random'"),
    ],
)
def test_pixels_have_to_be_supported(change: dict[str, Any], message: str, laion: Path, tmp_path: Path) -> None:
    shutil.copytree(laion, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    config["preprocess_cfg"] |= change
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        OpenCLIPEncoder.load_preprocessing(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (CONFIG_FILE, b"{", r"open_clip_config\.json can't be read \(JSONDecodeError"),
        (CONFIG_FILE, b"{}", r"open_clip_config\.json can't be read \(KeyError: 'model_cfg'\)"),
        (CONFIG_FILE, b'{"model_cfg": 3}', r"open_clip_config\.json can't be read \(TypeError"),
        (WEIGHTS_FILE, b"", r"open_clip_model\.safetensors can't be read: it is damaged"),
        (WEIGHTS_FILE, None, r"contains no weights: expected one of open_clip_model\.safetensors"),
        ("open_clip_pytorch_model.bin", PICKLE, r"would call Python's `os\.system` .* none of its code was executed"),
    ],
)
def test_damaged_folders_are_named(file: str, content: bytes | None, message: str, laion: Path, tmp_path: Path) -> None:
    shutil.copytree(laion, tmp_path, dirs_exist_ok=True)
    if file != CONFIG_FILE:
        (tmp_path / WEIGHTS_FILE).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        VideoCLIP(str(tmp_path))


@torch.no_grad()
def test_pickles_of_weights_and_of_training_are_read_as_data(laion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(laion, folder)
    weights = load_file(folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).unlink()
    trained = {"epoch": 3, "name": "run", "state_dict": {f"module.{name}": value for name, value in weights.items()}}
    expected = weights_digest(VideoCLIP(str(laion)))
    for content in (weights, trained):
        torch.save(content, folder / "open_clip_pytorch_model.bin")
        assert weights_digest(VideoCLIP(str(folder))) == expected


def test_attention_maps_are_refused(laion: Path) -> None:
    with pytest.raises(UserError, match=r"video_clip\.attention is eager, but models of open_clip have only sdpa"):
        VideoCLIP(str(laion), attention="eager")
