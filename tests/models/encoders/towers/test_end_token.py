"""Checkpoints whose configuration doesn't say what the end token of a sentence is."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoTokenizer, CLIPModel

from ost_lightning.models import CheckpointError, VideoCLIP, token_count
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.text import LabelSpace, SentenceSet

START, END = 0, 1
EMBEDDING = "text_model.embeddings.token_embedding.weight"


def edit(file: Path, **text_config: int) -> None:
    config = json.loads(file.read_text())
    config["text_config"] |= text_config
    file.write_text(json.dumps(config))


def exchange(part: Any, end: str, last: int) -> None:
    """Replaces the end token's id in the rule that adds it."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "ids" and value == [END]:
                part[key] = [last]
            exchange(value, end, last)
    elif isinstance(part, list):
        if part == [end, END]:
            part[1] = last
        for value in part:
            exchange(value, end, last)


def with_added_tokens(folder: Path, added: list[str], eos_token_id: int = 2) -> Path:
    """Writes a CLIP like the hub's, whose end token was the last one before tokens were added."""
    shutil.copytree(tiny_clip_folder(), folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    last = len(vocabulary) - 1
    names = {place: token for token, place in vocabulary.items()}
    vocabulary[names[END]], vocabulary[names[last]] = last, END
    for token in content["added_tokens"]:
        token["id"] = last if token["id"] == END else token["id"]
    exchange(content["post_processor"], names[END], last)
    like = content["added_tokens"][0]
    content["added_tokens"] += [
        like | {"id": last + k, "content": name, "special": False} for k, name in enumerate(added, start=1)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    weights = load_file(folder / "model.safetensors")
    rows = weights[EMBEDDING].clone()
    rows[[END, last]] = rows[[last, END]]
    weights[EMBEDDING] = torch.cat([rows, rows[5 : 5 + len(added)]])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(
        folder / "config.json",
        vocab_size=last + 1 + len(added),
        eos_token_id=last if eos_token_id == END else eos_token_id,
        bos_token_id=START,
        pad_token_id=END,
    )
    return folder


@torch.no_grad()
def embedded(model: VideoCLIP, *sentences: str) -> Tensor:
    names = SentenceSet({"name": tuple((sentence,) for sentence in sentences)})
    return model.encode_sentences(model.tokenize(names))["name"][:, 0]


@pytest.mark.parametrize("added", [[], ["<juggler>"], ["<juggler>", "<horse>", "<x>"]])
@pytest.mark.parametrize("eos_token_id", [END, 2, 7, 49407])
def test_sentences_are_read_at_their_end_token(tmp_path: Path, added: list[str], eos_token_id: int) -> None:
    model = VideoCLIP(str(with_added_tokens(tmp_path / "new", added, eos_token_id))).eval()
    plain = ("a person throws balls", "a person sleeps on a sofa", "a horse")
    torch.testing.assert_close(embedded(model, *plain), embedded(VideoCLIP("tiny").eval(), *plain))
    for name in added:
        first, second = embedded(model, f"a {name} throws balls", f"a {name} sleeps on a sofa")
        assert (first - second).abs().max() > 0.01


@torch.no_grad()
def test_a_saved_folder_is_read_at_the_end_token_by_transformers(tmp_path: Path) -> None:
    model = VideoCLIP(str(with_added_tokens(tmp_path / "new", ["<juggler>"]))).eval()
    model.save_pretrained(tmp_path / "saved")
    sentences = ["a <juggler> throws balls", "a <juggler> sleeps"]
    tokens = AutoTokenizer.from_pretrained(tmp_path / "saved")(sentences, padding=True, return_tensors="pt")
    theirs = CLIPModel.from_pretrained(tmp_path / "saved").eval().get_text_features(tokens["input_ids"]).pooler_output
    torch.testing.assert_close(embedded(model, *sentences), normalize(theirs, dim=-1), atol=1e-5, rtol=0)


def test_a_configuration_that_works_is_saved_as_it_was(tmp_path: Path) -> None:
    VideoCLIP(str(with_added_tokens(tmp_path / "new", []))).save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["text_config"]["eos_token_id"] == 2


def test_names_that_are_read_in_part_are_told() -> None:
    """The tiny CLIP has the end token in place of characters that it doesn't know."""
    model = VideoCLIP("tiny").eval()
    told = r"1 class names .* nothing behind them is read \(first: 'a caf\u00e9 table'\)"
    with pytest.warns(UserWarning, match=told):
        model.warn_about_names(LabelSpace(("a caf\u00e9 table", "a table")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.warn_about_names(LabelSpace(("a cafe table", "a table", "a caf\u00e9")))


def test_a_tokenizer_without_an_end_token_is_rejected(tmp_path: Path) -> None:
    shutil.copytree(tiny_clip_folder(), tmp_path / "new")
    file = tmp_path / "new" / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": None}))
    settings = tmp_path / "new" / "tokenizer_config.json"
    generic = {"tokenizer_class": "PreTrainedTokenizerFast"}  # CLIP's own class always adds one
    settings.write_text(json.dumps(json.loads(settings.read_text()) | generic))
    for use in (VideoCLIP, token_count):
        with pytest.raises(CheckpointError, match=r"adds no end token to sentences.*Set a post_processor"):
            use(str(tmp_path / "new"))
