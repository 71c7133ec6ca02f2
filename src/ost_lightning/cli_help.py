"""Top-level help: all commands, one group of commands, and the options of an experiment. Imports nothing heavy."""

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.experiment.experiment_files import experiment_names, standalone_experiments, table_names
from ost_lightning.tools.parsing.commands import GROUPS, SECTIONS, TOOLS

_WIDTH: Final = 100
_INDENT: Final = 24


def overview() -> str:
    """Returns the help on all commands, each with a sentence and an example."""
    experiments = ((name, command.summary, command.examples[0]) for name, command in EXPERIMENT_COMMANDS.items())
    parts = [
        "usage: ost COMMAND [options]",
        "Open-vocabulary video recognition with CLIP, Spatio-Temporal Descriptors and optimal transport.",
        _section("Experiments", experiments),
        *(
            _section(title, ((tool.name, tool.summary, tool.example) for tool in tools))
            for title, tools in SECTIONS.items()
        ),
        "`ost COMMAND --help` explains a command and its options. `ost --version` prints the version.",
    ]
    return "\n\n".join(parts)


def group_help(group: str) -> str:
    """Returns the help on the commands of a group, such as `ost data ...`."""
    tools = [tool for name, tool in TOOLS.items() if name.split()[0] == group]
    return "\n\n".join(
        [
            f"usage: ost {group} COMMAND [options]",
            _section("Commands", ((tool.name, tool.summary, tool.example) for tool in tools)),
            f"`ost {group} COMMAND --help` explains a command and its options.",
        ]
    )


def experiment_help(name: str) -> str:
    """Returns the help on a command that runs an experiment: its main options, and how to see all settings."""
    command = EXPERIMENT_COMMANDS[name]
    overlays = [f"{folder}/..." for folder in dict.fromkeys(n.split("/")[0] for n in experiment_names() if "/" in n)]
    settings = [
        (
            "--config EXPERIMENT",
            f"Experiment: {', '.join(standalone_experiments())}, or a YAML file. Repeat the option to apply overlays "
            f"to the experiment ({', '.join(overlays)}, or a YAML file).",
        ),
        (
            "--ckpt_path CHECKPOINT",
            "Checkpoint to resume training from: a file, or `last` or `best` of the experiment's newest run."
            if name == "fit"
            else "Fine-tuned weights: a checkpoint file, or `last` or `best` of the experiment's newest run. Without "
            "it, the weights of model.video_clip.pretrained are used without fine-tuning.",
        ),
        (
            "--model.video_clip.pretrained CLIP",
            "Initial CLIP: a hub id, a folder in Hugging Face format, `tiny`, `tiny_siglip`, or a model of "
            "open_clip such as `open_clip:PE-Core-B-16/meta`.",
        ),
        ("--data.root FOLDER", "Folder of the videos. `--data CLASS` selects another data module."),
        (
            "--trainer.accelerator cpu, --trainer.devices N",
            "Hardware to use. An experiment may expect a GPU.",
        ),
        ("--tracking.wandb true", "Logs to Weights & Biases; automatic where you are logged in, `false` disables it."),
    ]
    if name == "ablate":
        settings += [
            ("--table TABLE", f"Rows of the table: {', '.join(table_names())} (the default), or a YAML file."),
            ("--output FOLDER", "Folder for the results; the run's folder if not given."),
            ("--mean FILE ...", "Averages earlier tables (ablation.json) instead of running an experiment."),
        ]
    more = [
        (f"ost {name} --help all", "All settings with their defaults, including those of Lightning's trainer."),
        (f"ost {name} --config EXPERIMENT --print_config", "Settings of an experiment, as YAML."),
        (f"ost {name} --data.help VideoLists", "Settings of a data module; without a class, a list of all classes."),
        (f"ost {name} --model.help ContrastiveRecognition", "Settings of a recognition task."),
    ]
    return "\n\n".join(
        [
            f"usage: ost {name} --config EXPERIMENT [--ckpt_path CHECKPOINT] [--SETTING VALUE ...]",
            _filled(command.summary + " " + command.details),
            _titled("Main options", _pairs(settings)),
            _titled("Examples", [f"  {example}" for example in command.examples]),
            _titled("More", _pairs(more)),
        ]
    )


def unknown_command(args: Sequence[str]) -> UserError:
    """Returns the error for an unknown or missing command, with the closest known command.

    Args:
        args: Command line without the program's name.
    """
    names = [*EXPERIMENT_COMMANDS, *TOOLS]
    command = args[0] if args else ""
    if command in GROUPS:
        command = " ".join(args[:2])
        names = [name for name in names if name.split()[0] == args[0]]
    close = difflib.get_close_matches(" ".join(args[:2]), [name for name in names if " " in name], n=1, cutoff=0.75)
    close = close or difflib.get_close_matches(command, names, n=1)
    meant = f" Did you mean `ost {close[0]}`?" if close else ""
    if command.startswith("-"):
        problem = f"The command must come first, before {command}."
    else:
        problem = f"There is no command `ost {command}`." if command else "Give a command."
    return UserError(f"{problem}{meant} The commands are: {', '.join(names)}. `ost --help` explains them.")


def _section(title: str, commands: Iterable[tuple[str, str, str]]) -> str:
    lines = []
    for name, summary, example in commands:
        lines += _pair(name, summary, _INDENT)
        lines.append(f"{'':{_INDENT}}$ {example}")
    return _titled(title, lines)


def _titled(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *lines])


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, text in pairs for line in _pair(name, text, _INDENT)]


def _pair(name: str, text: str, indent: int) -> list[str]:
    """Returns a name with its description beside it, or below it if the name is long."""
    lines = textwrap.wrap(text, _WIDTH - indent)
    head = f"  {name}"
    if len(head) < indent:
        return [f"{head:{indent}}{lines[0]}", *(f"{'':{indent}}{line}" for line in lines[1:])]
    return [head, *(f"{'':{indent}}{line}" for line in lines)]


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
