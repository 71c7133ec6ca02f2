from pathlib import Path
from typing import Any

import pytest
import torch

from ost_lightning.callbacks.resuming import AtomicCheckpointIO, read_notes
from ost_lightning.models import CheckpointError, VideoCLIP
from ost_lightning.models.checkpoints.checkpoint_digest import verify_states, verify_weights, with_digests


def content() -> dict[str, Any]:
    """The content of a checkpoint, with tensors of several types, layouts and sizes."""
    model = VideoCLIP("tiny")
    weights = {f"video_clip.{name}": weight for name, weight in model.state_dict().items()}
    weights["matcher.tiny"] = torch.tensor(2.0, dtype=torch.bfloat16)
    moments = {"exp_avg": torch.randn(6, 4).T, "step": torch.tensor(3.0), "mask": torch.tensor([True, False])}
    return {
        "pytorch-lightning_version": "2.6",
        "state_dict": weights,
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 1e-3}]}],
        "callbacks": {"Averaging": {"average": {"w": torch.arange(3)}, "empty": torch.empty(0)}},
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    AtomicCheckpointIO().save_checkpoint(content(), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_what_was_saved_is_read(file: Path) -> None:
    loaded = AtomicCheckpointIO().load_checkpoint(file)
    assert loaded.keys() == content().keys()
    VideoCLIP("tiny", init_from=file)
    assert with_digests(loaded) == with_digests(loaded)


def exchange_bytes_in(file: Path, values: torch.Tensor) -> None:
    """Reorders the bytes of one tensor inside the file; headers and sizes stay as they are."""
    data, old = file.read_bytes(), values.contiguous().numpy().tobytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, values.flatten().flip(0).numpy().tobytes()))


def test_a_damaged_weight_is_refused(file: Path) -> None:
    exchange_bytes_in(file, VideoCLIP("tiny").encoder.model.visual_projection.weight.detach())
    read_notes(file)  # doesn't read tensors
    for read in (AtomicCheckpointIO().load_checkpoint, lambda path: VideoCLIP("tiny", init_from=path)):
        with pytest.raises(CheckpointError, match=r"last\.ckpt was changed .*: its weights don't match their digest"):
            read(file)


def test_a_damaged_optimizer_state_is_refused_when_training_resumes(file: Path) -> None:
    loaded = torch.load(file, weights_only=True)
    exchange_bytes_in(file, loaded["optimizer_states"][0]["state"][0]["exp_avg"].T)  # as it is stored
    VideoCLIP("tiny", init_from=file)
    with pytest.raises(CheckpointError, match=r"states of the optimizer or of callbacks don't match their digest"):
        AtomicCheckpointIO().load_checkpoint(file)


@pytest.mark.parametrize("change", ["value", "nan", "order", "type", "shape", "lost"])
def test_edited_weights_are_refused(change: str) -> None:
    saved = with_digests(content())
    weights = saved["state_dict"] = dict(saved["state_dict"])
    name = "video_clip.encoder.model.text_projection.weight"
    weight = weights[name].clone()
    if change in ("value", "nan"):
        weight[3, 4] += 1e-6 if change == "value" else float("nan")
    changed = {"order": weight.flip(0), "type": weight.double(), "shape": weight.flatten()}.get(change, weight)
    weights[name] = changed
    if change == "lost":
        del weights["matcher.tiny"]
    expected = "are not finite: NaN or infinity in " + name if change == "nan" else "weights don't match"
    with pytest.raises(CheckpointError, match=expected):
        verify_weights(saved, "edited.ckpt")
    verify_states(saved, "edited.ckpt")
    del saved["ost_digests"]  # as the message says, and as in checkpoints of earlier versions
    verify_weights(saved, "edited.ckpt")
