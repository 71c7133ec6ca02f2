"""The SLURM script: its command line for `srun` is parsed by the real CLI."""

import subprocess
from pathlib import Path

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.resources import shipped

SCRIPT = shipped("experiments") / "slurm" / "train.sh"
JOB = {"SLURM_NTASKS_PER_NODE": "8", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "14"}


def run(folder: Path, *arguments: str, job: dict[str, str] = JOB) -> subprocess.CompletedProcess[str]:
    """Runs the script with a stand-in for `srun` that writes its arguments to a file, one per line."""
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > srun.txt\n')
    srun.chmod(0o755)
    path = f"{srun.parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", SCRIPT, *arguments], cwd=folder, env={"PATH": path, **job}, capture_output=True, text=True, check=False
    )


def test_syntax() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    lines = SCRIPT.read_text().splitlines()
    first_command = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    # SLURM reads its options only up to the first command
    assert all(k < first_command for k, line in enumerate(lines) if line.startswith("#SBATCH"))


def test_the_command_line_for_srun_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, "own_videos", "--data.loading.global_batch_size", "2048")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    arguments = (tmp_path / "srun.txt").read_text().splitlines()
    *options, program, verb = arguments[:4]
    assert (options, program, verb) == (["--kill-on-bad-exit=1", "--cpus-per-task=14"], "ost", "fit")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([verb, *arguments[4:], "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    trainer, loading = config["trainer"], config["data"]["init_args"]["loading"]
    assert (int(trainer["devices"]), trainer["num_nodes"], trainer["strategy"]) == (8, 2, "ddp")
    assert (loading["workers"], loading["global_batch_size"]) == (12, 2048)
    assert config["ckpt_path"] == "last"


def test_an_experiment_is_required(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode != 0
    assert "usage: sbatch" in done.stderr
    assert not (tmp_path / "srun.txt").exists()


def defaults() -> dict[str, str]:
    """Returns the sbatch options in the script."""
    lines = [line.removeprefix("#SBATCH --") for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    return dict(line.partition("=")[::2] for line in lines)


def test_the_scripts_own_options_suffice(tmp_path: Path) -> None:
    sbatch = defaults()
    # SLURM sets each of these variables only if its option is set
    options = {"NTASKS_PER_NODE": "ntasks-per-node", "GPUS_PER_NODE": "gpus-per-node", "CPUS_PER_TASK": "cpus-per-task"}
    job = {f"SLURM_{name}": sbatch[option] for name, option in options.items()} | {"SLURM_NNODES": sbatch["nodes"]}
    done = run(tmp_path, "zeroshot_k400", job=job)
    assert done.returncode == 0, done.stderr
    arguments = (tmp_path / "srun.txt").read_text().splitlines()
    chosen = {name: arguments[arguments.index(f"--trainer.{name}") + 1] for name in ("devices", "num_nodes")}
    assert chosen == {"devices": "8", "num_nodes": "1"}


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({name: value for name, value in JOB.items() if name != "SLURM_NTASKS_PER_NODE"}, "--ntasks-per-node as many"),
        (JOB | {"SLURM_GPUS_PER_NODE": "h100:4"}, "8 tasks a node, but h100:4 GPUs"),
    ],
)
def test_one_task_per_gpu(job: dict[str, str], message: str, tmp_path: Path) -> None:
    done = run(tmp_path, "own_videos", job=job)
    assert done.returncode != 0
    assert message in done.stderr
    assert "unbound" not in done.stderr
    assert not (tmp_path / "srun.txt").exists()


def test_the_type_of_gpu_may_be_named(tmp_path: Path) -> None:
    assert run(tmp_path, "own_videos", job=JOB | {"SLURM_GPUS_PER_NODE": "h100:8"}).returncode == 0
