import pytest
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser

from ost_lightning.experiment.cli import ExperimentCLI


@pytest.mark.parametrize(("command", "parsers"), [("validate", 1), ("help", 4)])
def test_only_the_parser_of_the_command_gets_arguments(
    command: str, parsers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[LightningArgumentParser] = []
    monkeypatch.setattr(ExperimentCLI, "add_arguments_to_parser", lambda _, parser: prepared.append(parser))
    with pytest.raises(ArgumentError):
        ExperimentCLI([command, "--nonsense=1"])
    assert len(prepared) == parsers
