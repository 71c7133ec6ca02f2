"""Sweeps: the command lines that a W&B agent builds are parsed by the real CLI."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ost_lightning.cli import main
from ost_lightning.resources import shipped

SWEEPS = sorted((shipped("experiments") / "sweeps").glob("*.yaml"))


def corners(parameters: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Returns all combinations of the first and last value of every parameter."""
    ends = [[(name, config["values"][index]) for index in (0, -1)] for name, config in parameters.items()]
    return [{name: {"value": value} for name, value in chosen} for chosen in itertools.product(*ends)]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_command_of_a_sweep_parses(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = yaml.safe_load(path.read_text())
    for chosen in corners(sweep["parameters"]):
        options = create_sweep_command_args({"args": chosen})["args"]
        program, *arguments = [
            part
            for piece in create_sweep_command(sweep["command"])[1:]
            for part in (options if piece == "${args}" else [piece])
        ]
        assert program == sweep["program"] == "ost"
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--print_config"])
        assert stop.value.code == 0


def test_the_documented_sweeps_exist() -> None:
    assert {path.stem for path in SWEEPS} == {"epsilon", "ensembling", "fewshot"}
