"""Shared by the conversion tests: a tokenizer for the tiny released checkpoint, and malicious pickles."""

import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

HERE = Path(__file__).parent
RELEASED = HERE / "released_tiny_checkpoint.pth"
"""Checkpoint in the format of the authors' code, yacs configuration included; random weights of small towers."""
RELEASED_IO = HERE / "released_tiny_io.safetensors"
"""Pixels and tokens, and the outputs of the authors' code for them with those weights."""


def tokenizer(vocabulary: int = 512) -> CLIPTokenizer:
    """A tokenizer with the vocabulary size of the tiny released checkpoint, start and end token last."""
    tokens = {f"t{k}": k for k in range(vocabulary - 2)}
    return CLIPTokenizer(vocab=tokens | {"<|startoftext|>": vocabulary - 2, "<|endoftext|>": vocabulary - 1}, merges=[])


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Built:
    """Hides a payload in the state that is set after the object is created."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), {"payload": self.payload}


def payloads(mark: Path) -> dict[str, Any]:
    """Checkpoints that create a file if any of their code is executed."""
    touch = Payload(os.system, f"touch {mark}")
    weights = {"model": {"visual.conv1.weight": torch.zeros(2)}}
    return {
        "by itself": touch,
        "nested in a list": {**weights, "config": [[{"deep": [touch]}]]},
        "among the weights": {"model": {"visual.conv1.weight": torch.zeros(2), "visual.proj": touch}},
        "in an extra key": {**weights, "optimizer": touch},
        "as a key": {**weights, "extra": {("a", touch): 1}},
        "in a state": {**weights, "extra": Built(touch)},
        "eval": {**weights, "extra": Payload(eval, f"open({str(mark)!r}, 'w').close()")},
        "exec": {**weights, "extra": Payload(exec, f"open({str(mark)!r}, 'w').close()")},
        "import": {**weights, "extra": Payload(__import__, "antigravity")},
        "attribute": {**weights, "extra": Payload(getattr, "text", "upper")},
        "open": {**weights, "extra": Payload(open, str(mark), "w")},
        "pickle in a pickle": {**weights, "extra": Payload(pickle.loads, pickle.dumps(touch))},
        "torch.load": {**weights, "extra": Payload(torch.load, str(mark))},
    }


def copied(file: Path, folder: Path) -> Path:
    """Copies a file, so that the copy can be changed."""
    return Path(shutil.copy(file, folder / file.name))
