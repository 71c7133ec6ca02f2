"""Help texts and errors about wrong commands, printed before anything heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from ost_lightning.tools.parsing.commands import GROUPS, SECTIONS, TOOLS
from tests.processes import environment

HEAVY = ["lightning", "torch", "torchmetrics", "torchvision", "transformers", "wandb"]
COMMANDS = [*EXPERIMENT_COMMANDS, *TOOLS]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setenv("COLUMNS", "100")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that prints help and exits, and returns its output."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    return capsys.readouterr().out


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a wrong command line, and returns its error message."""
    assert main(arguments) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert message.startswith("ost: ")
    return message


def test_help_and_version_import_nothing_heavy() -> None:
    """Runs all commands in one process, which would keep what any of them imports."""
    command_lines = [["--version"], ["--help"], *([group, "--help"] for group in GROUPS)]
    command_lines += [[*name.split(), "--help"] for name in COMMANDS]
    program = f"""
import json, sys
from ost_lightning.cli import main
found = {{}}
for arguments in {command_lines}:
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
    found[" ".join(arguments)] = sorted({set(HEAVY)}.intersection(sys.modules))
print("\\n" + json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    imported = json.loads(done.stdout.splitlines()[-1])
    assert imported == {" ".join(arguments): [] for arguments in command_lines}


@pytest.mark.parametrize(
    ("arguments", "expected_status"),
    [
        (["descriptors", "diff", "hmdb51", "hmdb51"], 0),
        (["frobnicate"], 1),
        (["predict"], 1),
        (["fit", "--config=nonsense"], 1),
        (["data", "check", "--lisst=a"], 1),
    ],
    ids=str,
)
def test_commands_without_tensors_do_not_import_pytorch(arguments: list[str], expected_status: int) -> None:
    program = (
        "import sys\nfrom ost_lightning.cli import main\n"
        f"status = main({arguments})\nprint(status, sorted({set(HEAVY)}.intersection(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"{expected_status} []"


def test_the_overview_has_a_sentence_and_an_example_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    overview = printed(capsys, "--help")
    sections = overview.split("\n\n")
    assert [section.split(":\n")[0] for section in sections[2:-1]] == ["Experiments", *SECTIONS]
    for name in COMMANDS:
        (section,) = (section for section in sections if f"\n  {name} " in section)
        text, _, example = section.partition(f"\n  {name} ")[2].partition("$ ")
        assert " ".join(text.split()).endswith("."), name
        assert example.startswith(f"ost {name}"), name


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_valid_command_lines(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from ost_lightning.tools.parsing.arguments import as_options

    if name in TOOLS:
        example = TOOLS[name].example.split()
        assert example[: 1 + len(name.split())] == ["ost", *name.split()]
        assert "--help" not in as_options(TOOLS[name], example[1 + len(name.split()) :])
    else:
        assert all(example.startswith(f"ost {name} ") for example in EXPERIMENT_COMMANDS[name].examples)


@pytest.mark.parametrize("name", TOOLS)
def test_the_help_of_a_tool_has_its_usage_options_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, *name.split(), "--help")
    assert text.startswith(f"usage: ost {name}")
    assert " ".join(f"Example: `{TOOLS[name].example}`".split()) in " ".join(text.split())
    assert "<class" not in text
    assert printed(capsys, *name.split(), "-h") == text


@pytest.mark.parametrize("name", EXPERIMENT_COMMANDS)
def test_the_help_of_an_experiment_begins_with_its_main_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, name, "--help")
    assert len(text.splitlines()) < 60
    for words in ("--config EXPERIMENT", "own_videos", "--ckpt_path", "--data.root", f"ost {name} --help all"):
        assert words in text
    assert printed(capsys, name, "--config", "toyworld", "-h") == text


def test_the_complete_help_of_an_experiment_consists_of_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("predict", "ablate"):
        text = " ".join(printed(capsys, name, "--help", "all").split())
        assert "--trainer.precision" in text
        assert EXPERIMENT_COMMANDS[name].summary in text
        assert "Useful to " not in text
    assert "--table" in text


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, group, "--help")
    assert printed(capsys, group) == text
    assert {name for name in TOOLS if f"  {name} " in text} == {name for name in TOOLS if name.split()[0] == group}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["descriptor", "check", "videos"], "descriptors check"),
        (["descriptors", "checkk", "videos"], "descriptors check"),
        (["fitt"], "fit"),
        (["test-cli"], None),
        (["frobnicate"], None),
        (["data", "data"], None),
    ],
    ids=str,
)
def test_the_error_about_an_unknown_command_lists_the_known_ones(
    arguments: list[str], meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    message = mistake(capsys, *arguments)
    assert (f"Did you mean `ost {meant}`?" in message) == (meant is not None)
    known = [name for name in COMMANDS if arguments[0] not in GROUPS or name.split()[0] == arguments[0]]
    assert f"The commands are: {', '.join(known)}." in message


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Give a command." in mistake(capsys)
    assert "The command must come first" in mistake(capsys, "--config=toyworld", "fit")


@pytest.mark.parametrize("name", EXPERIMENT_COMMANDS)
def test_an_experiment_is_required(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([name], [name, "--ckpt_path=last"]):
        message = mistake(capsys, *arguments)
        assert f"`ost {name} --config own_videos`" in message
        assert "base_to_novel, fewshot, own_videos, supervised, toyworld, zeroshot_k400" in message


def test_an_overlay_alone_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    message = mistake(capsys, "fit", "--config=modes/lora")
    assert "`--config own_videos --config modes/lora`" in message


def test_a_misspelled_experiment_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    message = mistake(capsys, "predict", "--config=own_video")
    assert "There is no experiment file own_video. Did you mean own_videos?" in message
