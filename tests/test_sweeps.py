"""Sweeps: the command lines that a W&B agent builds are parsed by the real CLI."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.resources import shipped

SWEEPS = sorted((shipped("experiments") / "sweeps").glob("*.yaml"))


def ends(parameters: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Returns the first value of every parameter, and the last one."""
    return [{name: {"value": config["values"][index]} for name, config in parameters.items()} for index in (0, -1)]


def with_overlay(arguments: list[str]) -> list[str]:
    """Returns a command with OST+ behind its experiment, where a user adds it to the sweep's command."""
    place = arguments.index("--config") + 2
    return [*arguments[:place], "--config", "presets/ost_plus", *arguments[place:]]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_commands_of_a_sweep_parse_with_and_without_an_overlay(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args  # takes a second

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
        plain = yaml.safe_load(capsys.readouterr().out)
    # an overlay in the sweep's command stays in force beside what the sweep varies
    with pytest.raises(SystemExit) as stop:
        main([*with_overlay(arguments), "--print_config"])
    assert stop.value.code == 0
    plus = yaml.safe_load(capsys.readouterr().out)
    assert plus["model"]["init_args"]["matcher"]["init_args"]["terms"]["order"] == 1
    for config in (plain, plus):
        del config["model"]["init_args"]["matcher"]["init_args"]["terms"], config["results"]
    assert plus == plain


def test_the_documented_sweeps_exist() -> None:
    assert {path.stem for path in SWEEPS} == {"epsilon", "ensembling", "fewshot"}
