"""Interrupted and resumed runs: the result must be the same as without the interruption."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ost_lightning.callbacks.resuming import read_notes
from ost_lightning.cli import main
from tests.interruptions import Interrupted
from tests.processes import LIMIT, command, environment, ost

SETTINGS = [
    "--config=toyworld",
    "--data.train_clips=1",
    "--data.test_clips=1",
    "--data.loading.workers=0",
    "--data.clips.frames=4",
    "--data.loading.global_batch_size=8",
    "--data.loading.max_videos_per_device=4",  # two micro-batches per step, five steps per epoch
    "--trainer.max_epochs=3",
    "--trainer.check_val_every_n_epoch=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.callbacks+=tests.interruptions.Dropout",
    "--checkpoint.every_n_steps=2",
]
EPOCHS, STEPS = "--trainer.max_epochs=3", "--trainer.max_steps=15"  # the same training
RUN = Path("runs/toyworld/version_0")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete run, as the reference."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ost"])
        assert main(["fit", *SETTINGS, "--tracking.wandb=false"]) == 0
    return folder / RUN


def interruption(moment: str, step: int, how: str = "raise") -> list[str]:
    return [
        "--trainer.callbacks+=tests.interruptions.InterruptAt",
        f"--trainer.callbacks.moment={moment}",
        f"--trainer.callbacks.step={step}",
        f"--trainer.callbacks.how={how}",
    ]


def same(found: object, expected: object, where: str = "") -> None:
    """Asserts that nested values are equal bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, value in enumerate(expected):
            same(found[k], value, f"{where}/{k}")
    else:
        assert found == expected, where


def logged(run: Path) -> list[dict[str, str]]:
    """Returns the metrics of a run, except those that depend on the clock or repeat an earlier step."""
    with (run / "metrics.csv").open(newline="") as file:
        table = [
            {key: value for key, value in row.items() if value and key != "train/gradient_norm"}
            for row in csv.DictReader(file)
        ]
    return [row for row in table if not any(key.startswith("throughput/") for key in row)]


def same_run(found: Path, expected: Path, interruptions: int = 1) -> None:
    last, reference = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (found, expected))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "ToyWorld"):
        same(last[part], reference[part], part)
    rows, reference_rows = (logged(run) for run in (found, expected))
    # the trainer logs a step after the hook that writes its checkpoint: one row per interruption may be missing
    missing = [row for row in reference_rows if row not in rows]
    assert len(missing) <= interruptions
    assert rows == [row for row in reference_rows if row not in missing]
    assert not list(found.rglob("*.partial*"))


def test_an_interrupted_run_resumes_exactly() -> None:
    options = ["fit", *SETTINGS, "--trainer.max_epochs=1", "--tracking.wandb=false"]
    assert main([*options, "--tracking.folder=uninterrupted"]) == 0
    with pytest.raises(Interrupted):  # mid-epoch, with accumulated gradients; the checkpoint is one step old
        main([*options, *interruption("before_update", 3)])
    assert main([*options, "--ckpt_path=last"]) == 0
    assert [run.name for run in RUN.parent.iterdir()] == ["version_0"]
    same_run(RUN, Path("uninterrupted/toyworld/version_0"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "step", "limit"),
    [
        ("before_update", 3, EPOCHS),
        ("batch_start", 7, EPOCHS),  # in the second epoch
        ("validation", 10, EPOCHS),
        ("epoch_end", 10, EPOCHS),  # after the validation
        ("before_update", 3, STEPS),
        ("batch_start", 7, STEPS),
        ("validation", 10, STEPS),
    ],
)
def test_a_run_of_several_epochs_resumes_exactly(uninterrupted: Path, moment: str, step: int, limit: str) -> None:
    with pytest.raises(Interrupted):
        main(["fit", *SETTINGS, limit, "--tracking.wandb=false", *interruption(moment, step)])
    assert main(["fit", *SETTINGS, limit, "--tracking.wandb=false", "--ckpt_path=last"]) == 0
    assert [run.name for run in RUN.parent.iterdir()] == ["version_0"]
    same_run(RUN, uninterrupted)


@pytest.mark.parametrize(
    ("step", "limit"),
    [
        pytest.param(5, EPOCHS, marks=pytest.mark.slow),
        pytest.param(5, STEPS, marks=pytest.mark.slow),
        pytest.param(10, STEPS, marks=pytest.mark.slow),  # with a validation
    ],
)
def test_a_run_resumes_from_the_end_of_an_epoch(uninterrupted: Path, step: int, limit: str) -> None:
    with pytest.raises(Interrupted):
        main(["fit", *SETTINGS, limit, "--tracking.wandb=false", *interruption("batch_start", step)])
    assert main(["fit", *SETTINGS, limit, "--tracking.wandb=false", "--ckpt_path=last"]) == 0
    same_run(RUN, uninterrupted, interruptions=0)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [EPOCHS, STEPS])
def test_a_training_that_ended_within_an_epoch_resumes_there(uninterrupted: Path, limit: str) -> None:
    ending = interruption("batch_end", 3, "stop")
    assert main(["fit", *SETTINGS, limit, "--tracking.wandb=false", *ending]) == 0
    assert main(["fit", *SETTINGS, limit, "--tracking.wandb=false", "--ckpt_path=last"]) == 0
    same_run(RUN, uninterrupted, interruptions=0)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [EPOCHS, STEPS])
def test_a_training_that_ended_with_a_validation_within_an_epoch_resumes_there(limit: str) -> None:
    options = [*SETTINGS, limit, "--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval=4"]
    assert main(["fit", *options, "--tracking.wandb=false", "--tracking.name=uninterrupted"]) == 0
    assert main(["fit", *options, "--tracking.wandb=false", *interruption("batch_end", 2, "stop")]) == 0
    assert main(["fit", *options, "--tracking.wandb=false", "--ckpt_path=last"]) == 0
    same_run(RUN, Path("runs/uninterrupted/version_0"), interruptions=0)


@pytest.mark.slow
def test_a_validation_during_accumulation_writes_no_checkpoint() -> None:
    # five micro-batches are two and a half steps
    options = [*SETTINGS, "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1"]
    options += ["--trainer.val_check_interval=5", "--trainer.limit_val_batches=1", "--tracking.wandb=false"]
    assert main(["fit", *options, "--tracking.name=uninterrupted"]) == 0
    with pytest.raises(Interrupted):
        main(["fit", *options, *interruption("validation", 2)])
    assert main(["fit", *options, "--ckpt_path=last"]) == 0
    same_run(RUN, Path("runs/uninterrupted/version_0"))


@pytest.mark.slow
def test_an_epoch_is_not_resumed_with_another_order(capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SETTINGS, "--tracking.wandb=false"]
    with pytest.raises(Interrupted):
        main(["fit", *options, *interruption("batch_start", 3)])
    assert main(["fit", *options, "--data.loading.seed=1", "--ckpt_path=last"]) == 1
    message = " ".join(capsys.readouterr().err.split("ost: ")[-1].split())
    assert "after 4 of 10 batches of epoch 0, but this run has the seed 1 instead of 0" in message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weight_averaging_resumes_exactly() -> None:
    averaged = ["fit", *SETTINGS, "--config=modes/swa", "--tracking.name=toyworld", "--tracking.wandb=false"]
    averaged += ["--trainer.max_epochs=2", "--checkpoint.every_n_steps=1", "--trainer.limit_val_batches=0"]
    assert main([*averaged, "--tracking.folder=uninterrupted"]) == 0
    for moment, step in (("batch_start", 8), ("epoch_end", 10)):  # within an epoch, and after the last step
        with pytest.raises(Interrupted):
            main([*averaged, "--ckpt_path=last", *interruption(moment, step)])
    assert main([*averaged, "--ckpt_path=last"]) == 0
    same_run(RUN, Path("uninterrupted/toyworld/version_0"), interruptions=2)


def finish(expected: Path, *options: str, interruptions: int = 1) -> None:
    done = ost(["fit", *SETTINGS, *options, "--ckpt_path=last"], Path())
    assert done.returncode == 0, done.stderr
    assert [run.name for run in sorted(RUN.parent.glob("version_*"))] == ["version_0"]
    same_run(RUN, expected, interruptions)


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "step"), [("batch_start", 7), ("before_update", 4), ("validation", 10)])
def test_a_killed_run_with_workers_and_wandb_resumes_exactly(uninterrupted: Path, moment: str, step: int) -> None:
    options = ["--data.loading.workers=2", "--tracking.wandb=true"]
    killed = ost(["fit", *SETTINGS, *options, *interruption(moment, step, "SIGKILL")], Path())
    assert killed.returncode == -signal.SIGKILL
    id_before = read_notes(RUN / "checkpoints/last.ckpt").wandb_id
    finish(uninterrupted, *options)
    assert read_notes(RUN / "checkpoints/last.ckpt").wandb_id == id_before
    assert {folder.name.rsplit("-", 1)[1] for folder in RUN.parent.glob("wandb/offline-run-*")} == {id_before}


@pytest.mark.slow
def test_a_run_killed_while_writing_a_checkpoint_resumes_exactly(uninterrupted: Path) -> None:
    killed = ost(["fit", *SETTINGS, "--tracking.wandb=false", *interruption("writing", 4, "SIGKILL")], Path())
    assert killed.returncode == -signal.SIGKILL
    assert list(RUN.rglob(".last-*.partial.ckpt"))
    assert torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    finish(uninterrupted, "--tracking.wandb=false")


@pytest.mark.slow
def test_a_run_killed_at_random_times_resumes_exactly(uninterrupted: Path) -> None:
    draw = random.Random(0)
    options = ["fit", *SETTINGS, "--tracking.wandb=false", "--data.loading.workers=1", "--ckpt_path=last"]
    kills = 4
    for _ in range(kills):
        with subprocess.Popen(
            command(*options), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            wait_for(RUN / "checkpoints/last.ckpt")
            time.sleep(draw.uniform(0, 15))
            run.kill()
    finish(uninterrupted, "--tracking.wandb=false", interruptions=kills)


def wait_for(file: Path) -> None:
    end = time.monotonic() + LIMIT
    while not file.exists():
        assert time.monotonic() < end, f"{file} was not written"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "step", "how"),
    [
        ("batch_start", 3, "SIGTERM"),
        ("batch_end", 4, "SIGTERM"),
        ("batch_end", 5, "SIGTERM"),
        ("validation", 10, "SIGTERM"),
        ("before_update", 3, "SIGINT"),
        ("validation", 10, "SIGINT"),
    ],
)
def test_a_run_stopped_by_a_signal_saves_and_resumes_exactly(
    uninterrupted: Path, moment: str, step: int, how: str
) -> None:
    rarely = "--checkpoint.every_n_steps=1000"
    stopped = ost(["fit", *SETTINGS, "--tracking.wandb=false", rarely, *interruption(moment, step, how)], Path())
    assert stopped.returncode == 128 + getattr(signal, how)
    assert f"Stopped by {how}" in stopped.stderr
    assert "--ckpt_path last" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    last = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] in (step, step + 1)
    finish(uninterrupted, "--tracking.wandb=false")


def test_a_run_without_checkpoints_ends_with_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SETTINGS[:-1], "--tracking.wandb=false", "--trainer.enable_checkpointing=false"]
    assert main(["fit", *options, *interruption("batch_start", 1, "SIGINT")]) == 128 + signal.SIGINT
    assert "ost: interrupted." in capsys.readouterr().err


@pytest.mark.slow
def test_a_slurm_job_is_requeued_unless_it_was_canceled(uninterrupted: Path) -> None:
    log = Path("log.txt").absolute()
    scontrol = Path("bin/scontrol").absolute()
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {log}\necho "JobId=$3 JobState=${{FAKE_STATE:-RUNNING}} Requeue=1"\n')
    scontrol.chmod(0o755)
    slurm = {
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NAME": "ost",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
    }
    job = ["fit", *SETTINGS, "--tracking.wandb=false", "--ckpt_path=last"]
    stopped = ost([*job, *interruption("batch_start", 3, "SIGUSR1")], Path(), **slurm)
    assert stopped.returncode == 128 + signal.SIGUSR1, stopped.stderr
    assert log.read_text().splitlines() == ["show job 17 --oneliner", "requeue 17"]
    canceled = ost([*job, *interruption("batch_start", 7, "SIGTERM")], Path(), **slurm, FAKE_STATE="CANCELLED")
    assert "not requeued" in canceled.stderr
    assert log.read_text().splitlines()[2:] == ["show job 17 --oneliner"]
    finish(uninterrupted, "--tracking.wandb=false", interruptions=2)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_reported_and_the_last_checkpoint_stays_intact(uninterrupted: Path) -> None:
    disk = Path("disk").absolute()
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", disk], check=True)
    try:
        # cheap checks refuse a disk that is full from the start, so it fills up after the first checkpoint
        fill = ["--trainer.callbacks+=tests.interruptions.FillDisk", f"--trainer.callbacks.file={disk}/filler"]
        fill += ["--trainer.callbacks.step=2", "--trainer.callbacks.free=8_000_000"]
        settings = [*SETTINGS, "--tracking.wandb=false", f"--tracking.folder={disk}/runs"]
        full = ost(["fit", *settings, *fill], Path())
        assert full.returncode == 1
        message = " ".join(full.stderr.split("ost: ")[-1].split())
        assert "last.ckpt: No space left on device" in message
        assert "The previous checkpoint is intact." in message
        assert "Traceback" not in message
        last = disk / RUN / "checkpoints/last.ckpt"
        assert torch.load(last, weights_only=True)["global_step"] == 2
        assert not list(disk.rglob("*.partial*"))
        (disk / "filler").unlink()
        done = ost(["fit", *settings, "--ckpt_path=last"], Path())
        assert done.returncode == 0, done.stderr
        same_run(disk / RUN, uninterrupted)
    finally:
        subprocess.run(["umount", disk], check=True)
