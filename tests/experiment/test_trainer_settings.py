"""Errors about trainer settings that can't work."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.analysis.results.run_rows import run_rows
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.experiment.trainer_settings import check_cpu_precision, fast_precision
from ost_lightning.models.encoders import cpu_precision
from tests.small_experiments import own_videos

SMALL = ["--config=toyworld", "--tracking.wandb=false", "--data.loading.workers=0", "--data.clips.frames=2"]
SMALL += ["--data.train_clips=1", "--data.test_clips=1", "--trainer.max_epochs=1"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--gradient_norm.every=0"], ["gradient_norm.every is 0", "at least 1"]),
        (["--throughput.every=0"], ["throughput.every is 0", "at least 1"]),
        (["--data.loading.evaluation_batch_size=0"], ["loading.evaluation_batch_size is 0", "at least 1"]),
        (["--data.loading.workers=-1"], ["loading.workers is -1", "0 or more"]),
        (["--data.clips.crop_size=0"], ["clips.crop_size is 0", "at least 1"]),
        (["--trainer.barebones=true"], ["trainer.barebones is true", "Unset it"]),
        (["--trainer.check_val_every_n_epoch=0"], ["check_val_every_n_epoch is 0", "limit_val_batches to 0"]),
        (["--trainer.accelerator=tpuu"], ["accelerator='tpuu'", "Available names are:"]),
        (["--trainer.devices=0"], ["devices='0'", "not a valid input using cpu accelerator"]),
        (["--trainer.overfit_batches=1"], ["trainer.overfit_batches is 1", "Unset it"]),
        (["--trainer.val_check_interval=1000"], ["(1000) must be less than or equal to the number of the training"]),
    ],
    ids=lambda value: value[0].removeprefix("--"),
)
def test_mistakes_are_reported_in_a_paragraph(
    options: Sequence[str],
    expected: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    assert main(["fit", *SMALL, *options]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    for words in expected:
        assert words in message
    assert "Traceback" not in message


def test_a_missing_gpu_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert main(["fit", *SMALL, "--trainer.accelerator=gpu"]) == 1
    assert "trainer.accelerator is gpu, but PyTorch finds no GPU." in " ".join(capsys.readouterr().err.split())


def test_bugs_are_not_reported_as_user_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, stage: str) -> None:
        raise ValueError("a bug")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ost_lightning.callbacks.GradientNorm.setup", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["fit", *SMALL])


@pytest.mark.parametrize(
    ("accelerator", "gpu", "bf16", "precision"),
    [
        ("auto", True, True, "bf16-mixed"),
        ("gpu", True, False, "32-true"),
        ("cpu", True, True, "32-true"),
        ("auto", False, False, "32-true"),
    ],
)
def test_automatic_precision_follows_from_the_device(
    accelerator: str, gpu: bool, bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert fast_precision(accelerator) == precision


@pytest.mark.parametrize(
    ("command", "wanted", "changes", "message"),
    [
        ("fit", "bf16", {}, "for training, set trainer.precision"),
        ("test", "bf16", {"precision": "bf16-mixed"}, "trainer.precision is bf16-mixed, which sets the precision too"),
        ("test", "auto", {"devices": 2}, "several processes may choose differently"),
        ("predict", "auto", {"num_nodes": 2}, "several processes may choose differently"),
        ("predict", "auto", {"devices": "auto"}, None),
        ("test", "bf16", {"precision": None, "devices": 2}, None),
        ("validate", "fp32", {}, None),
    ],
)
def test_the_precision_on_a_cpu_is_checked(
    command: str, wanted: str, changes: dict[str, object], message: str | None
) -> None:
    settings = {"cpu_precision": wanted, "trainer": {"precision": "32-true", "devices": 1, "num_nodes": 1, **changes}}
    with nullcontext() if message is None else pytest.raises(UserError, match=message):
        check_cpu_precision(settings, command)


def test_results_name_the_precision_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setattr(cpu_precision, "bf16_speed", lambda threads: 1.75)
    options = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--cpu_precision=auto"]
    assert main(["test", *own_videos(tmp_path / "videos"), *options]) == 0
    assert "Frames are embedded in bf16, because this CPU multiplies matrices 1.8 x as fast" in caplog.text
    (file,) = tmp_path.rglob("results.json")
    lower = RunResults.load(file)
    assert lower.model["cpu_precision"] == "bf16"
    assert "A CPU embedded the frames in bf16." in lower.remarks
    assert "A CPU embedded the frames in bf16." in (file.parent / "results.md").read_text()
    usual = {name: value for name, value in lower.model.items() if name != "cpu_precision"}
    methods = [row.method for row in run_rows([lower, replace(lower, model=usual)])]
    assert any("cpu_precision=bf16" in method for method in methods)
    assert any("cpu_precision" not in method for method in methods)
