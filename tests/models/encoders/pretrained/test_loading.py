import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPModel, SiglipModel

from ost_lightning.models import CheckpointError, VideoCLIP
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.pretrained.loading import load_model, load_tokenizer
from ost_lightning.models.token_count import token_count
from ost_lightning.resources import tiny_clip_folder


@pytest.mark.parametrize("model_type", ["tipsv2", "aimv2", "bert", "nobody_has_heard_of_it"])
def test_other_architectures_are_rejected_before_anything_is_loaded(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_clip_folder(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    for loader in (CLIPModel, SiglipModel, AutoTokenizer):
        monkeypatch.setattr(loader, "from_pretrained", None)
    for use in (VideoCLIP, token_count):
        with pytest.raises(
            CheckpointError, match=rf"type '{model_type}', which is not supported: .* altclip, .* clip, .* xcl"
        ):
            use(str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "config.json of .* is missing or empty"),
        ('{"a": 1}', "has no model_type"),
        ("[]", "config.json of .* is missing or empty"),
        ('["model_type"]', "has no model_type"),
        ("{", "can't be read: config.json is missing or damaged"),
        ("7", "can't be read: config.json is missing or damaged"),
    ],
)
def test_a_config_without_an_architecture_is_rejected(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        encoder_class(str(tmp_path))


@pytest.mark.parametrize(
    "values",
    [
        {"image_size": "48"},
        {"image_size": [48, 48]},  # transformers' CLIP divides the size by that of a patch
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"hidden_act": "unheard"},
        {"hidden_size": -4},
    ],
    ids=str,
)
def test_a_config_that_describes_no_model_is_rejected(values: dict[str, Any], tmp_path: Path) -> None:
    folder = _changed_tiny_clip(tmp_path, values)
    with pytest.raises(CheckpointError, match=r"config.json of .* doesn't describe a model \(\w+: .+\)"):
        VideoCLIP(str(folder))


@pytest.mark.parametrize("size", [0, -48])
def test_an_image_size_below_one_is_rejected_before_weights_are_read(size: int, tmp_path: Path) -> None:
    folder = _changed_tiny_clip(tmp_path, {"image_size": size})
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=rf"image_size is {size}, expected one number .* greater than 0"):
        VideoCLIP(str(folder))


def _changed_tiny_clip(target: Path, vision: dict[str, Any]) -> Path:
    shutil.copytree(tiny_clip_folder(), target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"vision_config": config["vision_config"] | vision}))
    return target


def test_missing_packages_of_a_tokenizer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("\nSiglipTokenizer requires the SentencePiece library but it was not found")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", missing)
    with pytest.raises(CheckpointError, match=r"requires the SentencePiece library.*pip install .*siglip"):
        load_tokenizer("tiny", 10)


def test_sentencepiece_is_named_where_transformers_asks_for_tiktoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "metaclip_2"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"model")
    with pytest.raises(CheckpointError, match="has 5 tokens, but the model has 100"):
        load_tokenizer(str(tmp_path), 100)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(CheckpointError, match=r"it is a SentencePiece model.*pip install 'ost-lightning\[siglip\]'"):
        load_tokenizer(str(tmp_path), 100)


def test_code_that_comes_with_a_tokenizer_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("from pathlib import Path\nPath(__file__).with_name('executed').touch()\n")
    code = {"auto_map": {"AutoConfig": "own.Own", "AutoTokenizer": ["own.Own", None]}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", **code}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Own", **code}))
    with pytest.raises(CheckpointError, match="its tokenizer is missing or damaged") as refused:
        load_tokenizer(str(tmp_path), 100)
    assert "trust_remote_code" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


def test_the_table_of_transformers_is_shown_only_for_weights_that_the_model_does_not_have(tmp_path: Path) -> None:
    messages: list[str] = []

    class Messages(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    shutil.copytree(tiny_clip_folder(), tmp_path / "clip")
    file = tmp_path / "clip" / "model.safetensors"
    weights = load_file(file)
    logger, handler = logging.getLogger("transformers.modeling_utils"), Messages()
    logger.addHandler(handler)
    try:
        save_file({name: weight for name, weight in weights.items() if "post_layernorm" not in name}, file)
        with pytest.raises(CheckpointError, match=r"not a complete CLIPModel .* 2 are missing and 0"):
            load_model(CLIPModel, str(tmp_path / "clip"))
        assert not messages
        save_file(weights | {"surplus": torch.zeros(1)}, file)
        load_model(CLIPModel, str(tmp_path / "clip"))
    finally:
        logger.removeHandler(handler)
    (message,) = messages
    assert "surplus" in message
    assert not logger.filters
