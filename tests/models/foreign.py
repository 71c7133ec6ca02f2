"""What the conversion tests share: a tokenizer for the tiny released checkpoint and hostile pickles."""

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
"""Laid out as the authors' code writes it, yacs configuration included; random weights of small towers."""
RELEASED_IO = HERE / "released_tiny_io.safetensors"
"""Pixels and tokens, and what the authors' code makes of them with those weights."""


def tokenizer(vocabulary: int = 512) -> CLIPTokenizer:
    """As many tokens as the tiny released checkpoint knows, the start and the end token last."""
    tokens = {f"t{k}": k for k in range(vocabulary - 2)}
    return CLIPTokenizer(vocab=tokens | {"<|startoftext|>": vocabulary - 2, "<|endoftext|>": vocabulary - 1}, merges=[])


class Payload:
    """Calls something when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Built:
    """Hides a payload in the state that is set after the object is there."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), {"payload": self.payload}


def payloads(mark: Path) -> dict[str, Any]:
    """Things that leave a file behind if anything of them is run."""
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
    """A copy that may be changed."""
    return Path(shutil.copy(file, folder / file.name))
