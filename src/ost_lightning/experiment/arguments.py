"""Command lines of experiments before LightningCLI parses them: spelling, names of experiments, renamed options."""

from collections.abc import Sequence
from typing import Final

import yaml

from ost_lightning.errors import UserError
from ost_lightning.experiment.experiment_files import experiment_file, standalone_experiments
from ost_lightning.experiment.misspelled_keys import misspelled_keys
from ost_lightning.renamed_settings import reject_renamed_option

CONFIG: Final = ("--config", "-c")
_NAMES_BELOW: Final = ("val", "test", "label_spaces")
"""Settings whose keys are chosen by the user and keep their hyphens, as in `--data.test.my-set.list`."""


def underscored(option: str) -> str:
    """Replaces hyphens in an option's name by underscores; both spellings are accepted.

    Args:
        option: Option with its leading hyphens, without a value.
    """
    if not option.startswith("--"):
        return option
    keys = option[2:].split(".")
    spelled = [
        key if index and keys[index - 1] in _NAMES_BELOW else key.replace("-", "_") for index, key in enumerate(keys)
    ]
    return f"--{'.'.join(spelled)}"


def split_option(argument: str) -> tuple[str, str | None]:
    """Splits `--option=value` into option and value; the value is None without an equals sign."""
    option, equals, value = argument.partition("=")
    return underscored(option), value if equals else None


def normalized(args: Sequence[str]) -> list[str]:
    """Returns the command line in the form that LightningCLI accepts.

    Hyphens become underscores, and names of experiments become paths of their files.

    Args:
        args: Command line, beginning with the command.

    Raises:
        UserError: If an experiment file can't be used, or an option belongs to an earlier version.
    """
    result: list[str] = []
    position = 0
    while position < len(args):
        argument = args[position]
        position += 1
        if not argument.startswith("-"):
            result.append(argument)
            continue
        option, value = split_option(argument)
        separate = value is None and position < len(args) and not _is_option(args[position])
        if separate:
            value = args[position]
            position += 1
        if option in CONFIG and value is not None:
            value = str(experiment_file(value))
        elif option.startswith("--"):
            _reject_misspelled_keys(option, value)
            reject_renamed_option(args[0], option.removeprefix("--"), value)
        result += [option] if value is None else [option, value] if separate else [f"{option}={value}"]
    return result


def require_experiment(command: str, args: Sequence[str]) -> None:
    """Rejects a command line without an experiment, model or data.

    Args:
        command: Command with the program's name, such as `ost fit`.
        args: Command line after the command.

    Raises:
        UserError: If the command line has neither an experiment, nor a model or data, nor a request for help.
    """
    options = {split_option(argument)[0].split(".")[0] for argument in args if argument.startswith("-")}
    if options.isdisjoint({*CONFIG, "--model", "--data", "--print_config", "--help", "-h", "--trainer.help"}):
        raise UserError(
            f"`{command}` needs an experiment, for example `{command} --config own_videos`. Available: "
            f"{', '.join(standalone_experiments())}, or the path of a YAML file. `{command} --help` explains more."
        )


def _reject_misspelled_keys(option: str, value: str | None) -> None:
    try:
        found = list(misspelled_keys(yaml.compose(value or "", yaml.SafeLoader)))
    except yaml.YAMLError:  # plain text, which contains no settings
        return
    for key, meant in found:
        raise UserError(f"{option}: there is no setting `{key.value}`. Did you mean `{meant}`?")


def _is_option(argument: str) -> bool:
    """Returns whether an argument is an option; negative numbers are values."""
    return argument.startswith("--") or argument in ("-c", "-h")
