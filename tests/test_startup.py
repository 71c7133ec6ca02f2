"""Modules that a command and its loading processes do without, so that they begin at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment
from tests.small_experiments import own_videos

SLOW = ("lightning", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torchvision", "wandb")
METRICS = ("torchmetrics.classification", "torchmetrics.functional")
ARCHITECTURES = ("accelerate", "transformers.modeling_utils")
COMPILER = ("sympy", "torch._dynamo", "triton")


STAGES = [
    ("import ost_lightning.cli", {*SLOW, "aiohttp", "av", "numpy", "torch", "torchmetrics", "transformers"}),
    # what a loading process needs that doesn't inherit the memory of its parent
    (
        "from ost_lightning.video import EvaluationClips, TrainingClips",
        {*SLOW, *COMPILER, "aiohttp", "torchmetrics", "transformers"},
    ),
    (
        "from ost_lightning import Recognizer; from ost_lightning.evaluation import CachedClips",
        {*SLOW, *COMPILER, *ARCHITECTURES, "aiohttp", "torchmetrics"},
    ),
]
"""Imports that follow each other in a process, and what none up to there needs."""


def test_imports_bring_only_what_they_need(tmp_path: Path) -> None:
    lines = ["import sys, json"]
    for program, _ in STAGES:
        lines += [program, "print(json.dumps(sorted(sys.modules)))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    for (program, unneeded), imported in zip(STAGES, done.stdout.splitlines(), strict=True):
        assert not unneeded & set(json.loads(imported)), program


@pytest.mark.parametrize("command", ["fit", "test"])
def test_mistakes_are_told_and_videos_are_read_before_an_architecture_is_imported(command: str, tmp_path: Path) -> None:
    program = f"""
import json, os, sys
from ost_lightning import cli
options = {[command, *own_videos(tmp_path / "videos"), "--data.loading.workers=1"]}
assert cli.main([*options, "--data.test=missing.txt"] + ["--data.train=missing.txt"]) == 1
told = sorted(sys.modules)
from ost_lightning.video.clips.dataset import EvaluationClips, TrainingClips
def read(clips, key):
    print("\\n" + json.dumps([told, sorted(sys.modules)]), flush=True)
    os._exit(1)
EvaluationClips.__getitem__ = TrainingClips.__getitem__ = read
cli.main(options)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert "[[" in done.stdout, done.stderr
    told, reading = map(set, json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[["))))
    others = {*SLOW, *METRICS, *ARCHITECTURES, *COMPILER, "aiohttp"} - {"lightning"}
    assert not others & told
    if command == "fit":
        others -= {"torchvision"}  # which changes the colors of training clips
    assert not others & reading
