"""The SLURM script: what it hands to `srun` is parsed by the real CLI."""

import subprocess
from pathlib import Path

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.resources import shipped

SCRIPT = shipped("experiments") / "slurm" / "train.sh"
JOB = {"SLURM_NTASKS_PER_NODE": "8", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "14"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script with a stand-in for `srun` that writes its arguments down, one a line."""
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > srun.txt\n')
    srun.chmod(0o755)
    path = f"{srun.parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", SCRIPT, *arguments], cwd=folder, env={"PATH": path, **JOB}, capture_output=True, text=True, check=False
    )


def test_syntax() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    lines = SCRIPT.read_text().splitlines()
    first_command = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    # SLURM reads its options up to the first command only
    assert all(k < first_command for k, line in enumerate(lines) if line.startswith("#SBATCH"))


def test_the_command_that_srun_gets_parses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, "own_videos", "--data.loading.global_batch_size", "2048")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    option, program, verb, *arguments = (tmp_path / "srun.txt").read_text().splitlines()
    assert (option, program, verb) == ("--kill-on-bad-exit=1", "ost", "fit")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([verb, *arguments, "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    trainer, loading = config["trainer"], config["data"]["init_args"]["loading"]
    assert (int(trainer["devices"]), trainer["num_nodes"], trainer["strategy"]) == (8, 2, "ddp")
    assert (loading["workers"], loading["global_batch_size"]) == (12, 2048)
    assert config["ckpt_path"] == "last"


def test_an_experiment_has_to_be_named(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode != 0
    assert "usage: sbatch" in done.stderr
    assert not (tmp_path / "srun.txt").exists()
