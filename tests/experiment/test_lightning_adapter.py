from types import SimpleNamespace

import pytest
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.experiment.lightning_adapter import AdaptedLightningCLI
from ost_lightning.experiment.settings_parser import SettingsParser, settings_text


@pytest.mark.parametrize(("command", "parsers"), [("validate", 1), ("help", 4)])
def test_only_the_parser_of_the_command_gets_arguments(
    command: str, parsers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[LightningArgumentParser] = []
    monkeypatch.setattr(ExperimentCLI, "add_arguments_to_parser", lambda _, parser: prepared.append(parser))
    with pytest.raises(ArgumentError):
        ExperimentCLI([command, "--nonsense=1"])
    assert len(prepared) == parsers


def test_settings_that_were_checked_are_written_without_another_check(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = SettingsParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data", fail_untyped=False)
    parser.add_argument("--root", type=str | None)
    parser.add_argument("--copy", type=str | None)
    parser.link_arguments("root", "copy")
    config = parser.parse_args(["--data=HMDB51", "--data.root=r", "--data.clips.frames=4"])
    of_lightning = SimpleNamespace(parser=parser, config=config)
    LightningCLI._dump_config(of_lightning)
    expected = parser.dump(config, skip_unset=False)
    monkeypatch.setattr(SettingsParser, "validate", None)
    assert settings_text(parser, config) == expected
    assert "frames: 4" in expected
    adapted = SimpleNamespace(parser=parser, config=config, subcommand=None)
    AdaptedLightningCLI._dump_config(adapted)
    assert adapted.config_dump == of_lightning.config_dump
    assert adapted.config_dump["copy"] is None
