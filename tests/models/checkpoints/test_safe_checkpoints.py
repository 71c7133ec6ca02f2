import io
import os
import pickle
import struct
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ost_lightning.models import CheckpointError
from ost_lightning.models.checkpoints.safe_checkpoints import read_weights
from tests.models.foreign import RELEASED, Payload, payloads, scripted, with_pickle

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
NAMES = list(payloads(Path("mark")))


def tensors() -> dict[str, torch.Tensor]:
    return {
        "visual.conv1.weight": torch.randn(4, 3, 2, 2),
        "visual.blocks.0.ln.weight": torch.randn(5).half(),
        "logit_scale": torch.tensor(2.5),
        "counts": torch.arange(6).view(2, 3),
    }


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value) for name, value in expected.items()
    )


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", None])
def test_plain_checkpoints(tmp_path: Path, key: str | None) -> None:
    content, file = tensors(), tmp_path / "plain.pth"
    torch.save({key: content, "epoch": 3, "lr_scheduler": {"base": [0.1]}} if key else content, file)
    assert same(read_weights(file), content)


def test_older_files_without_zip(tmp_path: Path) -> None:
    content, file = tensors(), tmp_path / "old.pt"
    torch.save({"model": content}, file, _use_new_zipfile_serialization=False)
    assert same(read_weights(file), content)


def test_released_checkpoint_with_its_configuration() -> None:
    """A yacs node is beside the weights, and yacs is not installed."""
    assert b"yacs.config" in RELEASED.read_bytes()
    found = read_weights(RELEASED)
    assert len(found) == 62
    assert found["module.image_encoder.conv1.weight"].shape == (64, 3, 8, 8)


def test_torchscript_archives(tmp_path: Path) -> None:
    content = {**tensors(), "strided": torch.randn(4, 6).T, "view": torch.randn(20)[3:9]}
    content = {name: value for name, value in content.items() if value.is_floating_point()}
    assert same(read_weights(scripted(content, tmp_path / "clip.pt")), content)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "old", "bare", "torchscript"])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path: Path, name: str, form: str) -> None:
    mark, file = tmp_path / "mark", tmp_path / "hostile.pth"
    content = payloads(mark)[name]
    if form == "torchscript":
        with_pickle(scripted({"logit_scale": torch.ones(())}, tmp_path / "good.pt"), _without_tensors(content), file)
    elif form == "bare":
        file.write_bytes(pickle.dumps(_without_tensors(content), protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        CheckpointError, match=r"hostile\.pth (asks for Python's `[\w.]+`.*nothing of it|can't be read)"
    ):
        read_weights(file)
    assert not mark.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["by itself", "nested in a list", "in a state", "eval", "exec", "open"])
def test_the_hostile_pickles_do_run_elsewhere(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(_without_tensors(payloads(mark)[name]), protocol=2))  # noqa: S301  # the control
    assert mark.exists()


@pytest.mark.parametrize("form", ["zip", "old"])
def test_refusal_names_what_was_asked_for(tmp_path: Path, form: str) -> None:
    file = tmp_path / "hostile.pth"
    content = {"model": tensors(), "extra": [Payload(os.system, "true")]}
    torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match=r"asks for Python's `posix\.system` when it is read"):
        read_weights(file)


def test_hostile_torchscript_names_what_was_asked_for(tmp_path: Path) -> None:
    good = scripted({"logit_scale": torch.ones(())}, tmp_path / "good.pt")
    hostile = with_pickle(good, Payload(os.system, "true"), tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match=r"asks for Python's `posix\.system`"):
        read_weights(hostile)


def test_hostile_code_beside_a_scripted_module_is_not_looked_at(tmp_path: Path) -> None:
    """TorchScript carries source code; only tensors are read."""

    class Loud(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print("code of the archive")
            return x

    torch.jit.save(torch.jit.script(Loud()), tmp_path / "loud.pt")
    assert read_weights(tmp_path / "loud.pt")["weight"].tolist() == [1, 1]


def test_tensors_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    good = scripted({"weight": torch.ones(2)}, tmp_path / "good.pt")

    class Storage:
        """A persistent id in the pickle."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", 2) if isinstance(obj, Storage) else None

    class Rebuilt:
        def __reduce__(self) -> object:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (1000,), (1,), False, None)

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump({"weight": Rebuilt()})
    hostile = with_pickle(good, stream.getvalue(), tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match="can't be read"):
        read_weights(hostile)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", struct.pack("<Q", 8)]))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_noise_is_told_and_never_crashes(tmp_path: Path, data: bytes, prefix: bytes) -> None:
    file = tmp_path / "noise.pth"
    file.write_bytes(prefix + data)
    with pytest.raises(CheckpointError, match=r"noise\.pth"):
        read_weights(file)


@pytest.mark.parametrize("keep", [0, 10, 1000, 500_000, -30])
def test_cut_files_are_told(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "cut.pth"
    file.write_bytes(RELEASED.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"cut\.pth can't be read as a PyTorch checkpoint"):
        read_weights(file)


def test_what_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*nothing\.pth"):
        read_weights(tmp_path / "nothing.pth")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match=r"has no weights\. Expected a dictionary of tensors"):
        read_weights(tmp_path / "empty.pth")


def _without_tensors(content: object) -> object:
    """A plain pickle can't hold tensors by reference."""
    if isinstance(content, dict):
        return {key: _without_tensors(value) for key, value in content.items() if not isinstance(value, torch.Tensor)}
    return content
