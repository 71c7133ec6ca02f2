"""The page of protocols: each published method is named, and each command has options that exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace
from ost_lightning.tools.parsing.arguments import as_options
from ost_lightning.tools.parsing.commands import TOOLS
from ost_lightning.tools.parsing.parser import tool_parser

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
PUBLISHED = yaml.safe_load((shipped("data") / "published_results.yaml").read_text(encoding="utf-8"))
METHODS = sorted({row["method"] for rows in PUBLISHED.values() for row in rows})
COMMANDS = sorted(
    line
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("ost ")
)


@pytest.mark.parametrize("method", METHODS)
def test_each_published_method_has_a_command_or_a_reason(method: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    named = re.compile(rf"(?<![\w-]){re.escape(method)}(?![\w+-])")
    assert any(named.search(row) for row in rows), f"{method} is in no table of docs/protocols.md"


@pytest.mark.parametrize("figure", [1, 2, 3, 4, 5])
def test_each_figure_has_a_command_or_a_reason(figure: int) -> None:
    assert re.search(rf"^(\*\*|\| )Fig\. (\d and )?{figure}\b", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_outside_training_parses(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    tool = TOOLS.get(" ".join(words[:2])) or TOOLS[words[0]]
    arguments = words[len(tool.name.split()) :]
    values = vars(tool_parser(tool).parse_args(as_options(tool, arguments)))
    for name in ("labels", "label_spaces"):
        for label_space in (values.get(name) or "").split(","):
            if label_space not in ("", "described"):
                assert LabelSpace.load(label_space).names
