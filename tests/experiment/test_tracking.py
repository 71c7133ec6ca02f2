"""Weights & Biases: offline without a key, no secrets in files, and runs continue if it can't be reached."""

import socket
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from tests.small_experiments import SMALL, metrics


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def test_wandb_is_offline_without_a_key_and_no_secret_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t" * 7)
    monkeypatch.setenv("WANDB_MODE", "offline")  # with a key alone, W&B would try to go online
    args = [argument for argument in SMALL if "wandb" not in argument]
    args.append("--trainer.default_root_dir=https://user:s3cr3t@host/x")  # W&B also records the command line
    monkeypatch.setattr(sys, "argv", ["ost", "fit", *args])
    assert main(["fit", *args, "--trainer.max_steps=1", "--trainer.log_every_n_steps=1"]) == 0
    assert sys.argv[-1] == args[-1]
    for stored in ("config.yaml", "checkpoints/last.ckpt"):
        assert b"https://user:***@host/x" in (Path("runs/toyworld/version_0") / stored).read_bytes()
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]
    assert (Path("runs/toyworld/version_0") / "metrics.csv").exists()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE")
    assert main(["test", *args]) == 0
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 2


def log_in_to_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the address of W&B to one where nothing answers, and stores a login for it as `wandb login` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    Path("netrc").write_text(f"machine {address}\n  login user\n  password {'s3cr3t' * 7}\n")
    monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://{address}")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(Path.cwd()))
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    monkeypatch.delenv("WANDB_MODE", raising=False)  # left by an offline run of this process


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"WANDB_API_KEY": "s3cr3t" * 7, "NETRC": "none"}, "(?!No API key)"),
        # the agent of a sweep is logged in
        pytest.param({"WANDB_SWEEP_ID": "abcdefgh"}, "(?!No API key)", marks=pytest.mark.slow),
        ({"WANDB_SWEEP_ID": "abcdefgh", "NETRC": "none"}, "No API key"),
    ],
    ids=["key", "sweep", "sweep without a login"],
)
def test_a_run_continues_offline_if_wandb_cannot_be_reached(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in_to_unreachable_server(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    args = [argument for argument in SMALL if "wandb" not in argument]
    with pytest.warns(UserWarning, match=rf"Can't reach W&B \({reason}"):
        assert main(["test", *args]) == 0
    assert "test/unseen/top1" in metrics(Path("runs/toyworld/version_0"))[-1]
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 1
    assert not [path for path in Path("runs").rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]


def test_a_stored_login_alone_sends_nothing(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    log_in_to_unreachable_server(monkeypatch)
    assert main(["test", *(argument for argument in SMALL if "wandb" not in argument)]) == 0
    assert not [warning for warning in recwarn if "W&B" in str(warning.message)]
    assert len(list(Path("runs/toyworld/wandb").glob("offline-run-*"))) == 1
