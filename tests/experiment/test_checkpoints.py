"""Checkpoints selected by `last` and `best`, and errors about unusable checkpoints and strategies."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main
from ost_lightning.resources import tiny_clip_folder
from tests.processes import another_process

QUIET = ["--config=toyworld", "--tracking.wandb=false", "--data.loading.workers=0"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--ckpt_path=last"], ["no last.ckpt in runs/toyworld", "Train first"]),
        (["--ckpt_path=best"], ["no best checkpoint in runs/toyworld", "Add a ModelCheckpoint with a `monitor`"]),
        (["--ckpt_path=hpc"], ["no checkpoint hpc", "or `last` or `best`"]),
        (["--ckpt_path=foreign.pth"], ["foreign.pth is not a checkpoint that `ost fit` wrote"]),
        (["--ckpt_path=damaged.ckpt"], ["damaged.ckpt can't be read as a checkpoint: it is damaged"]),
        (["--trainer.strategy=fsdp_cpu_offload"], ["trainer.strategy is fsdp_cpu_offload", "Set it to fsdp"]),
        (
            ["--trainer.strategy={class_path: lightning.pytorch.strategies.FSDPStrategy}"],
            ["trainer.strategy is FSDPStrategy", "Set it to fsdp"],
        ),
        (["--tracking.folder=foreign.pth"], ["folder of the run, foreign.pth/toyworld", "is not a folder"]),
        (["--checkpoint.every_n_steps=0"], ["every_n_steps is 0", "at least 1"]),
    ],
)
def test_mistakes_are_reported_in_a_paragraph(
    options: list[str],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    Path("damaged.ckpt").write_bytes(b"PK but no more")
    torch.save([torch.zeros(2)], "foreign.pth")
    assert main(["test", *QUIET, *options]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    for words in expected:
        assert words in message
    assert "Traceback" not in message


class Malicious:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--ckpt_path=evil.ckpt"], "evil.ckpt can't be read as a checkpoint: it would call Python's `posix.mkdir`"),
        (["--ckpt_path=file://{folder}/evil.ckpt"], "evil.ckpt can't be read as a checkpoint: it would call"),
        (["--ckpt_path=file://{folder}/evil.ckpt", "--weights_only=false"], "weights_only is false"),
        (["--ckpt_path=evil.ckpt", "--weights_only=false"], "weights_only is false"),
        (["--ckpt_path=simplecache::file://{folder}/evil.ckpt"], "read from local files only"),
        (["--model.video_clip.init_from=evil.ckpt"], "evil.ckpt can't be read as a checkpoint: it would call"),
        (["--model.video_clip.pretrained=evil"], "The weights of evil can't be read: it would call Python's"),
    ],
)
@pytest.mark.parametrize("command", ["test", pytest.param("fit", marks=pytest.mark.slow)])
def test_no_way_of_giving_a_checkpoint_executes_its_code(
    command: str,
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"w": torch.zeros(2)}, "pytorch-lightning_version": "2.6", "x": Malicious()}, "evil.ckpt")
    Path("evil").mkdir()
    for file in tiny_clip_folder().glob("*.json"):
        shutil.copy(file, "evil")
    shutil.copy("evil.ckpt", "evil/pytorch_model.bin")
    assert main([command, *QUIET, *(option.format(folder=tmp_path) for option in options)]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    assert expected in message
    assert "weights_only` set to" not in message
    assert "Re-running" not in message
    assert not Path("executed").exists()


SMALL = [*QUIET, "--data.train_clips=1", "--data.test_clips=1", "--data.clips.frames=2", "--trainer.callbacks=null"]
SMALL += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.mark.slow
def test_the_best_checkpoint_can_be_tested_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monitor = ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=val/seen/top1"]
    monitor += ["--trainer.callbacks.mode=max", "--trainer.check_val_every_n_epoch=1"]
    assert main(["fit", *SMALL, *monitor, "--trainer.max_epochs=2"]) == 0
    (best,) = (path for path in Path("runs/toyworld/version_0/checkpoints").iterdir() if path.name != "last.ckpt")
    assert main(["test", *SMALL, "--ckpt_path=best"]) == 0
    tested = json.loads(Path("runs/toyworld/version_1/results.json").read_text())["checkpoint"]
    assert (Path(tested["path"]).name, tested["selection"]["by"]) == (best.name, "val/seen/top1")
    assert main(["fit", *SMALL, "--ckpt_path=best", "--trainer.max_epochs=3"]) == 0
    assert Path("runs/toyworld/version_2/checkpoints/last.ckpt").is_file()


def test_weights_of_another_model_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one_step = ["--trainer.max_steps=1", "--trainer.limit_val_batches=0"]
    assert main(["fit", *SMALL, "--config=modes/lora", "--trainer.callbacks=null", *one_step]) == 0
    assert main(["test", *SMALL, "--ckpt_path=runs/toyworld/version_0/checkpoints/last.ckpt"]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    assert "The weights of the checkpoint are not for this model" in message
    assert "adapters, matcher) to what it was in the training" in message


def test_a_run_that_is_being_trained_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("runs/toyworld/version_3")
    with another_process(run, '{"pid": 7, "host": "node3"}'):
        (run / "checkpoints").mkdir()
        (run / "checkpoints/last.ckpt").touch()
        assert main(["fit", *SMALL, "--ckpt_path=last"]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    assert "version_3 is in use: process 7 on node3 is training this run" in message
    assert [path.name for path in run.parent.iterdir()] == ["version_3"]
