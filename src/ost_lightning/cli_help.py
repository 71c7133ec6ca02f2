"""Help that people read first: all commands, a group of them, what an experiment needs. Imports nothing heavy."""

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from ost_lightning.errors import UserError
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.experiment.experiment_files import experiment_names, table_names, whole_experiments
from ost_lightning.tools.parsing.commands import GROUPS, SECTIONS, TOOLS

_WIDTH: Final = 100
_INDENT: Final = 24


def overview() -> str:
    """All commands, each with a sentence and an example."""
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
    """The commands that begin with one word."""
    tools = [tool for name, tool in TOOLS.items() if name.split()[0] == group]
    return "\n\n".join(
        [
            f"usage: ost {group} COMMAND [options]",
            _section("Commands", ((tool.name, tool.summary, tool.example) for tool in tools)),
            f"`ost {group} COMMAND --help` explains a command and its options.",
        ]
    )


def experiment_help(name: str) -> str:
    """What a command that runs an experiment needs, and how to see all of its settings."""
    command = EXPERIMENT_COMMANDS[name]
    overlays = [f"{folder}/..." for folder in dict.fromkeys(n.split("/")[0] for n in experiment_names() if "/" in n)]
    settings = [
        (
            "--config EXPERIMENT",
            f"The experiment: {', '.join(whole_experiments())}, or a YAML file. Repeat it to lay overlays over the "
            f"experiment ({', '.join(overlays)}, or a YAML file).",
        ),
        (
            "--ckpt_path CHECKPOINT",
            "The training to resume: a checkpoint file, `last` or `best` of the experiment's newest run."
            if name == "fit"
            else "Fine-tuned weights: a checkpoint file, or `last` or `best` of the experiment's newest run. Without "
            "it, the weights of model.video_clip.pretrained as they are.",
        ),
        (
            "--model.video_clip.pretrained CLIP",
            "CLIP to begin with: a hub id, a folder in Hugging Face format, or `tiny`.",
        ),
        ("--data.root FOLDER", "Folder of the videos. `--data CLASS` chooses another kind of data."),
        (
            "--trainer.accelerator cpu, --trainer.devices N",
            "What to compute on. An experiment may expect a GPU.",
        ),
        ("--tracking.wandb false", "Records nothing in Weights & Biases."),
    ]
    if name == "ablate":
        settings += [
            ("--table TABLE", f"Rows of the table: {', '.join(table_names())} (the default), or a YAML file."),
            ("--output FOLDER", "Folder for the results. Without it, the run's folder."),
            ("--mean FILE ...", "Averages earlier tables (ablation.json) instead of running an experiment."),
        ]
    more = [
        (f"ost {name} --help all", "All settings with their defaults, those of Lightning's trainer included."),
        (f"ost {name} --config EXPERIMENT --print_config", "The settings of an experiment, as YAML."),
        (f"ost {name} --data.help VideoLists", "The settings of a kind of data; without a class, all kinds."),
        (f"ost {name} --model.help ContrastiveRecognition", "The settings of a way of training."),
    ]
    return "\n\n".join(
        [
            f"usage: ost {name} --config EXPERIMENT [--ckpt_path CHECKPOINT] [--SETTING VALUE ...]",
            _filled(command.summary + " " + command.needs),
            _titled("What it needs", _pairs(settings)),
            _titled("Examples", [f"  {example}" for example in command.examples]),
            _titled("More", _pairs(more)),
        ]
    )


def unknown_command(args: Sequence[str]) -> UserError:
    """The mistake of a command line that names no command, with the command that was probably meant.

    Args:
        args: Command line without the program's name.
    """
    names = [*EXPERIMENT_COMMANDS, *TOOLS]
    given = args[0] if args else ""
    if given in GROUPS:
        given = " ".join(args[:2])
        names = [name for name in names if name.split()[0] == args[0]]
    close = difflib.get_close_matches(" ".join(args[:2]), [name for name in names if " " in name], n=1, cutoff=0.75)
    close = close or difflib.get_close_matches(given, names, n=1)
    meant = f" Did you mean `ost {close[0]}`?" if close else ""
    if given.startswith("-"):
        wrong = f"The command comes first, before {given}."
    else:
        wrong = f"There is no command `ost {given}`." if given else "Give a command."
    return UserError(f"{wrong}{meant} The commands are: {', '.join(names)}. `ost --help` explains them.")


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
    """A name and what it is, beside it or, if the name is long, below it."""
    lines = textwrap.wrap(text, _WIDTH - indent)
    head = f"  {name}"
    if len(head) < indent:
        return [f"{head:{indent}}{lines[0]}", *(f"{'':{indent}}{line}" for line in lines[1:])]
    return [head, *(f"{'':{indent}}{line}" for line in lines)]


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
