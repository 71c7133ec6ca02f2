"""Sweeps: the command lines that a W&B agent builds are parsed by the real CLI."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ost_lightning.cli import main
from ost_lightning.resources import shipped

SWEEPS = sorted((shipped("experiments") / "sweeps").glob("*.yaml"))


def ends(parameters: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Returns the first value of every parameter, and the last one."""
    return [{name: {"value": config["values"][index]} for name, config in parameters.items()} for index in (0, -1)]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_commands_of_a_sweep_parse(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = yaml.safe_load(path.read_text())
    for chosen in ends(sweep["parameters"]):
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
