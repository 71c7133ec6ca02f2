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
from ost_lightning.models.safe_checkpoints import local_file, read_weights
from tests.models.foreign import RELEASED, Payload, payloads

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
    """The weights come with a yacs configuration, and yacs is not installed."""
    assert b"yacs.config" in RELEASED.read_bytes()
    found = read_weights(RELEASED)
    assert len(found) == 62
    assert found["module.image_encoder.conv1.weight"].shape == (64, 3, 8, 8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "old", "bare"])
def test_malicious_pickles_are_rejected_and_nothing_is_executed(tmp_path: Path, name: str, form: str) -> None:
    mark, file = tmp_path / "mark", tmp_path / "malicious.pth"
    content = payloads(mark)[name]
    if form == "bare":
        file.write_bytes(pickle.dumps(_without_tensors(content), protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        CheckpointError,
        match=r"malicious\.pth can't be read as a checkpoint: it (would call Python's `[\w.]+`.*none of|is damaged)",
    ):
        read_weights(file)
    assert not mark.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["by itself", "nested in a list", "in a state", "eval", "exec", "open"])
def test_the_malicious_pickles_do_execute_when_unpickled(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(_without_tensors(payloads(mark)[name]), protocol=2))  # noqa: S301  # the control
    assert mark.exists()


@pytest.mark.parametrize("form", ["zip", "old"])
def test_the_error_names_the_requested_function(tmp_path: Path, form: str) -> None:
    file = tmp_path / "malicious.pth"
    content = {"model": tensors(), "extra": [Payload(os.system, "true")]}
    torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match=r"would call Python's `posix\.system` when it is loaded"):
        read_weights(file)


POSITIONS = {
    "openai/clip-vit-base-patch32": (50, 768),
    "openai/clip-vit-base-patch16": (197, 768),
    "openai/clip-vit-large-patch14": (257, 1024),
    "openai/clip-vit-large-patch14-336": (577, 1024),
}
"""Shape of the vision tower's position embedding in OpenAI's archives."""


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("hub_id", POSITIONS)
def test_the_error_for_openais_archives_names_the_hub_id_of_the_same_weights(
    tmp_path: Path, hub_id: str, dtype: torch.dtype
) -> None:
    positions = torch.zeros(POSITIONS[hub_id], dtype=dtype)
    file = scripted({"visual.positional_embedding": positions, "positional_embedding": torch.zeros(77, 512)}, tmp_path)
    with pytest.raises(CheckpointError, match=rf"is a TorchScript archive.*video_clip\.pretrained to {hub_id} instead"):
        read_weights(file)


def test_the_error_for_other_archives_names_all_hub_ids(tmp_path: Path) -> None:
    file = scripted({"logit_scale": torch.ones(())}, tmp_path)
    with pytest.raises(CheckpointError, match=f"one of {', '.join(POSITIONS)} instead.*state_dict"):
        read_weights(file)


def scripted(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    """Writes a TorchScript archive that contains the tensors."""

    class Scripted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    module = Scripted()
    for name, tensor in tensors.items():
        module.register_buffer(name.replace(".", "_"), tensor)
    torch.jit.save(torch.jit.script(module), folder / "archive.pt")
    return folder / "archive.pt"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", struct.pack("<Q", 8)]))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_random_bytes_are_reported_and_never_crash(tmp_path: Path, data: bytes, prefix: bytes) -> None:
    file = tmp_path / "noise.pth"
    file.write_bytes(prefix + data)
    with pytest.raises(CheckpointError, match=r"noise\.pth"):
        read_weights(file)


@pytest.mark.parametrize("keep", [0, 10, 1000, 500_000, -30])
def test_truncated_files_are_reported(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "truncated.pth"
    file.write_bytes(RELEASED.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"truncated\.pth can't be read as a checkpoint: it is damaged"):
        read_weights(file)


@pytest.mark.parametrize("url", ["file://{}", "file:{}", "FILE://{}", "file://localhost{}"])
def test_file_urls_are_paths(url: str, tmp_path: Path) -> None:
    for name in ("a b.ckpt", "100%.ckpt"):
        (tmp_path / name).touch()
    assert local_file(url.format(tmp_path / "a%20b.ckpt")) == tmp_path / "a b.ckpt"
    assert local_file(url.format(tmp_path / "100%.ckpt")) == tmp_path / "100%.ckpt"
    assert local_file("runs/a:b/last.ckpt") == Path("runs/a:b/last.ckpt")


@pytest.mark.parametrize(
    "url", ["https://host/x.ckpt", "s3://b/x.ckpt", "memory://x", "simplecache::file:///x", "zip::x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(CheckpointError, match=r"is a URL, and checkpoints are read from local files only\. Download"):
        local_file(url)


def test_files_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*nothing\.pth"):
        read_weights(tmp_path / "nothing.pth")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match=r"contains no weights: expected a dictionary of tensors"):
        read_weights(tmp_path / "empty.pth")


def _without_tensors(content: object) -> object:
    """Removes tensors, which a plain pickle can't contain by reference."""
    if isinstance(content, dict):
        return {key: _without_tensors(value) for key, value in content.items() if not isinstance(value, torch.Tensor)}
    return content
