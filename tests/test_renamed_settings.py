"""Names of earlier versions are rejected with an error that gives the new name, in YAML and on the command line."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.experiment.experiment_files import experiment_file
from ost_lightning.experiment.run_config import report_differences
from ost_lightning.renamed_settings import (
    CLASSES,
    KEYS,
    OPTIONS,
    VALUES,
    find_renamed,
    reject_renamed_option,
    with_new_names,
)
from ost_lightning.resources import shipped
from ost_lightning.tools.parsing.arguments import as_options
from ost_lightning.tools.parsing.commands import TOOLS

OLD = """\
model:
  class_path: ost_lightning.tasks.ContrastiveRecognition
  init_args:
    optimisation:
      learning_rate: 1.0e-4
      warmup: 0.2
      schedule: released
    matcher:
      class_path: OptimalDescriptorSolver
data:
  class_path: ost_lightning.datamodules.SeveralSets
  init_args:
    test: [{class_path: HMDB51, init_args: {on_missing: leave_out}}]
trainer:
  callbacks: [LossGuard]
"""
NEW = """\
model:
  class_path: ost_lightning.tasks.ContrastiveRecognition
  init_args:
    optimizer:
      learning_rate: 1.0e-4
      warmup_fraction: 0.2
      schedule: timm_cosine
    matcher:
      class_path: OptimalDescriptorSolver
data:
  class_path: ost_lightning.datamodules.CombinedDataModule
  init_args:
    test: [{class_path: HMDB51, init_args: {on_missing: skip}}]
trainer:
  callbacks: [NonFiniteLossGuard]
"""


def test_a_file_with_old_names_is_rejected_with_line_and_new_name_of_each(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(OLD)
    with pytest.raises(UserError) as raised:
        experiment_file(str(file))
    for words in (
        f"{file} uses names of an earlier version: line 4, model.optimisation: ",
        "`optimisation` is now called `optimizer`",
        "line 6, model.optimizer.warmup: `warmup` is now called `warmup_fraction`",
        "line 7, model.optimizer.schedule: `released` is now called `timm_cosine`",
        "`ost_lightning.datamodules.SeveralSets` is now called `ost_lightning.datamodules.CombinedDataModule`",
        "line 13, data.test.on_missing: `leave_out` is now called `skip`",
        "line 15, trainer.callbacks: `LossGuard` is now called `NonFiniteLossGuard`",
    ):
        assert words in str(raised.value)


def test_the_configuration_in_an_old_checkpoint_is_read_with_new_names(caplog: pytest.LogCaptureFixture) -> None:
    assert with_new_names(yaml.safe_load(OLD)) == yaml.safe_load(NEW)
    assert with_new_names(yaml.safe_load(NEW)) == yaml.safe_load(NEW)
    with caplog.at_level("INFO"):
        report_differences(OLD, NEW.replace("0.2", "0.1"))
    (record,) = caplog.records
    assert record.message == (
        "model.init_args.optimizer.warmup_fraction is 0.1 in this run; the checkpoint was trained with 0.2"
    )


def test_a_checkpoint_from_before_there_were_two_kinds_of_scores_was_trained_with_softmax() -> None:
    old = "model: {init_args: {video_clip: {init_args: {pretrained: tiny}}}}\ndata: {}\n"
    new = "model: {init_args: {video_clip: {init_args: {pretrained: tiny, scores: softmax}}}}\ndata: {}\n"
    assert report_differences(old, new) == []
    (difference,) = report_differences(old, new.replace("softmax", "sigmoid"))
    assert difference.endswith("scores is sigmoid in this run; the checkpoint was trained with softmax")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("model.optimisation.warmup", "0.1", "it is now called --model.optimizer.warmup_fraction"),
        ("model.init_args.optimisation", "{}", "it is now called --model.optimizer"),
        ("model.optimizer", "{warmup: 0.1}", "model.optimizer.warmup: `warmup` is now called `warmup_fraction`"),
        ("model.optimizer.schedule", "released", "`released` is now called `timm_cosine`"),
        ("trainer.callbacks+", "LossGuard", "`LossGuard` is now called `NonFiniteLossGuard`"),
        ("data", "SeveralSets", "`SeveralSets` is now called `CombinedDataModule`"),
    ],
)
def test_options_with_old_names_are_rejected(option: str, value: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        reject_renamed_option("fit", option, value)
    assert message in str(raised.value)


@pytest.mark.parametrize(("old", "new"), KEYS.items())
def test_every_old_key_is_rejected(old: str, new: str) -> None:
    last = old.split(".")[-1]
    for option in (old, f"model.{old}", f"data.sets.init_args.{old}.below"):
        with pytest.raises(UserError, match=rf"now called --.*\b{new}\b"):
            reject_renamed_option("fit", option, None)
    reject_renamed_option("fit", f"model.other_{last}", None)
    (found,) = find_renamed(
        yaml.compose(f"model: {{init_args: {{{old.replace('.', ': {')}: 1}}}}" + "}" * old.count("."))
    )
    assert (found.node.value, found.new) == (last, new)


@pytest.mark.parametrize(("setting", "old"), VALUES)
def test_every_old_value_is_rejected_only_for_its_setting(setting: str, old: str) -> None:
    with pytest.raises(UserError, match=f"`{old}` is now called `{VALUES[setting, old]}`"):
        reject_renamed_option("fit", f"model.{setting}", old)
    reject_renamed_option("fit", f"model.other_{setting}", old)
    reject_renamed_option("fit", f"model.{setting}", VALUES[setting, old])


@pytest.mark.parametrize("old", CLASSES)
def test_every_old_class_is_rejected(old: str) -> None:
    for name in (old, f"ost_lightning.anywhere.{old}", f"{{class_path: {old}}}", f"[{old}]"):
        with pytest.raises(UserError, match=f"is now called `.*{CLASSES[old]}`"):
            reject_renamed_option("fit", "trainer.callbacks", name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model.optimizer.schedule", "cosine"),
        ("tracking.name", "released"),  # a value of another setting
        ("data.labels", "{unclosed: ["),  # not YAML, so it contains no names
        ("model.matcher", "elsewhere.LossGuard"),  # a class of another package
        ("ckpt", "x"),  # an old option of another command
    ],
)
def test_other_settings_are_accepted(option: str, value: str) -> None:
    reject_renamed_option("fit", option, value)


def test_the_command_line_rejects_old_options(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, new in (
        (["fit", "--config=toyworld", "--model.optimisation.learning-rate", "1"], "--model.optimizer.learning_rate"),
        (["ablate", "--config=toyworld", "--ckpt=a"], "--ckpt_path"),
        (["ablate", "--config=toyworld", "--cache-gigabytes=1"], "--data.loading.embedding_cache_gigabytes"),
    ):
        assert main(arguments) == 1
        assert f"now called {new}." in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("name", "old"), [(name, old) for name, renamed in OPTIONS.items() for old in renamed])
def test_every_renamed_option_of_a_tool_is_rejected(name: str, old: str) -> None:
    if name not in TOOLS:
        assert name == "ablate"
        return
    new = OPTIONS[name][old]
    with pytest.raises(UserError, match=f"--{old} is an option of an earlier version: it is now called --{new}"):
        as_options(TOOLS[name], [f"--{old}", "x"])
    # the tool knows the new name; --help, because required options are missing
    accepted = ["--help", f"--{new}=1"]
    assert f"--{new}=1" in as_options(TOOLS[name], accepted)


def test_old_names_are_removed_and_new_names_exist() -> None:
    modules = [import_module(f"ost_lightning.{package}") for package in ("callbacks", "datamodules", "models")]
    for old, new in CLASSES.items():
        assert any(hasattr(module, new) for module in modules), new
        assert not any(hasattr(module, old) for module in modules), old
    assert not set(KEYS) & set(KEYS.values())
    assert not {(setting, new) for (setting, _), new in VALUES.items()} & set(VALUES)


@pytest.mark.parametrize("path", sorted(shipped("experiments").rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_shipped_file_uses_old_names(path: Path) -> None:
    assert not list(find_renamed(yaml.compose(path.read_text())))
