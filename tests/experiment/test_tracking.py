"""Weights & Biases: only where it is set up or asked for, no secrets in files, and runs continue without a server."""

import socket
import sys
from pathlib import Path

import pytest
import wandb

from ost_lightning.cli import main
from ost_lightning.experiment.tracking import wandb_mode
from tests.small_experiments import SMALL, metrics


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


KEY = "s3cr3t" * 7


@pytest.mark.parametrize(
    ("variables", "unset", "wanted"),
    [
        ({}, None, "offline"),
        ({"WANDB_API_KEY": KEY}, "online", "online"),
        ({"WANDB_IDENTITY_TOKEN_FILE": "token"}, "online", "online"),
        ({"WANDB_SWEEP_ID": "abcdefgh"}, "online", "online"),
        ({"NETRC": "netrc"}, "online", "online"),
        ({"NETRC": "netrc", "WANDB_BASE_URL": "https://wandb.example.org"}, None, "offline"),
        ({"NETRC": "damaged"}, None, "offline"),
        ({"WANDB_MODE": "online"}, "online", "online"),
        ({"WANDB_MODE": "offline"}, "offline", "offline"),
        ({"WANDB_MODE": "dryrun", "WANDB_API_KEY": KEY}, "offline", "offline"),
        ({"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "abcdefgh"}, "offline", "offline"),
        ({"WANDB_MODE": "disabled", "WANDB_API_KEY": KEY}, None, None),
    ],
    ids=str,
)
def test_wandb_is_used_where_it_is_set_up_or_asked_for(
    variables: dict[str, str], unset: str | None, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    Path("damaged").write_text("machine\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (wandb_mode(None), wandb_mode(True), wandb_mode(False)) == (unset, wanted, None)


def test_without_wandb_nothing_of_it_is_written_or_printed(capfd: pytest.CaptureFixture[str]) -> None:
    args = [argument for argument in SMALL if "wandb" not in argument]
    assert main(["test", *args]) == 0
    assert "test/unseen/top1" in metrics(Path("runs/toyworld/version_0"))[-1]
    assert not Path("runs/toyworld/wandb").exists()
    assert not Path("runs/toyworld/version_0/report.html").exists()
    assert Path("runs/toyworld/version_0/label_spaces/unseen/descriptors.json").is_file()
    output = "".join(capfd.readouterr())
    assert "wandb" not in output
    for noise in ("Loading weights", "DataLoader", "TPU"):
        assert noise not in output


def test_no_secret_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "offline")  # with a key alone, W&B would try to go online
    args = [argument for argument in SMALL if "wandb" not in argument]
    args.append("--trainer.default_root_dir=https://user:s3cr3t@host/x")  # W&B also records the command line
    monkeypatch.setattr(sys, "argv", ["ost", "fit", *args])
    assert main(["fit", *args, "--trainer.max_steps=1", "--trainer.log_every_n_steps=1"]) == 0
    assert sys.argv[-1] == args[-1]
    wandb.teardown()  # waits for the process that writes W&B's file, as the end of a command does
    for stored in ("config.yaml", "checkpoints/last.ckpt"):
        assert b"https://user:***@host/x" in (Path("runs/toyworld/version_0") / stored).read_bytes()
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]
    assert (Path("runs/toyworld/version_0") / "metrics.csv").exists()


def log_in_to_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the address of W&B to one where nothing answers, and stores a login for it as `wandb login` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    Path("netrc").write_text(f"machine {address}\n  login user\n  password {KEY}\n")
    monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://{address}")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(Path.cwd()))
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"WANDB_API_KEY": KEY, "NETRC": "none"}, "(?!No API key)"),
        pytest.param({}, "(?!No API key)", marks=pytest.mark.slow),
        ({"WANDB_SWEEP_ID": "abcdefgh", "NETRC": "none"}, "No API key"),
    ],
    ids=["key", "login", "sweep without a login"],
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
    wandb.teardown()  # waits for the process that writes the file, as the end of a command does
    (logged,) = Path("runs/toyworld/wandb").glob("offline-run-*/*.wandb")
    assert b"report.html" in logged.read_bytes()  # the artifact
    assert "Test report" in Path("runs/toyworld/version_0/report.html").read_text()
    assert not [path for path in Path("runs").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
