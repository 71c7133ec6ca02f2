"""Command lines of experiments, before LightningCLI parses them: spelling, names of experiments, renamed options."""

from collections.abc import Sequence
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.experiment.experiment_files import experiment_file, whole_experiments
from ost_lightning.renamed_settings import refuse_renamed_option

CONFIG: Final = ("--config", "-c")
_NAMES_BELOW: Final = ("val", "test", "label_spaces")
"""Settings with keys that the user chose, which keep their hyphens: `--data.test.my-set.list`."""


def underscored(option: str) -> str:
    """The option's name with underscores for hyphens: both are accepted everywhere.

    Args:
        option: With its leading hyphens, without a value.
    """
    if not option.startswith("--"):
        return option
    keys = option[2:].split(".")
    spelled = [
        key if place and keys[place - 1] in _NAMES_BELOW else key.replace("-", "_") for place, key in enumerate(keys)
    ]
    return f"--{'.'.join(spelled)}"


def split_option(argument: str) -> tuple[str, str | None]:
    """`--option=value` as option and value; the value is None if the argument has no equals sign."""
    option, equals, value = argument.partition("=")
    return underscored(option), value if equals else None


def normalized(args: Sequence[str]) -> list[str]:
    """A command line as LightningCLI takes it.

    Hyphens become underscores, and names of experiments the files that they stand for.

    Raises:
        UserError: If an experiment file can't be used, or an option is one of an earlier version.
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
            refuse_renamed_option(args[0], option.removeprefix("--"), value)
        result += [option] if value is None else [option, value] if separate else [f"{option}={value}"]
    return result


def require_experiment(command: str, args: Sequence[str]) -> None:
    """Refuses a command line that says nothing of a model and of data.

    Args:
        command: As `ost fit`.
        args: Command line after it.

    Raises:
        UserError: If neither an experiment is given, nor a model or data, nor help is asked for.
    """
    given = {split_option(argument)[0].split(".")[0] for argument in args if argument.startswith("-")}
    if given.isdisjoint({*CONFIG, "--model", "--data", "--print_config", "--help", "-h", "--trainer.help"}):
        raise UserError(
            f"`{command}` needs an experiment: `{command} --config own_videos`. Those that come with the package: "
            f"{', '.join(whole_experiments())}; or the path of a YAML file. `{command} --help` explains more."
        )


def _is_option(argument: str) -> bool:
    """Whether it is no value; negative numbers are values."""
    return argument.startswith("--") or argument in ("-c", "-h")
