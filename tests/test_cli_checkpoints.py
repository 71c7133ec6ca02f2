"""What is told when a checkpoint or a strategy can't be used."""

import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main

QUIET = ["--config=toyworld", "--tracking.wandb=false", "--data.loading.workers=0"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ckpt_path=last"], ["no last checkpoint in runs/toyworld", "Train first"]),
        (["--ckpt_path=damaged.ckpt"], ["checkpoint damaged.ckpt can't be read", "damaged"]),
        (["--trainer.strategy=fsdp_cpu_offload"], ["trainer.strategy is fsdp_cpu_offload", "set it to fsdp"]),
        (
            ["--trainer.strategy={class_path: lightning.pytorch.strategies.FSDPStrategy}"],
            ["trainer.strategy is FSDPStrategy", "set it to fsdp"],
        ),
        (["--checkpoint.every_n_steps=0"], ["every_n_steps is 0", "at least 1"]),
    ],
)
def test_mistakes_are_told_in_a_paragraph(
    options: list[str],
    told: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    Path("damaged.ckpt").write_bytes(b"PK but no more")
    assert main(["test", *QUIET, *options]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    for words in told:
        assert words in message
    assert "Traceback" not in message
