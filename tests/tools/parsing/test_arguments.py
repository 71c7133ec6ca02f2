"""Command lines of tools: positional and named arguments, switches, lists of values, both spellings."""

import os
from dataclasses import fields
from inspect import signature

import pytest

from ost_lightning.errors import UserError
from ost_lightning.tools.parsing.arguments import as_options, positional, takes_several, usage
from ost_lightning.tools.parsing.commands import TOOLS, Tool
from ost_lightning.tools.parsing.parser import tool_parser
from ost_lightning.tools.toyworld import Group, Split
from ost_lightning.video.maintenance.transcoding import TranscodeSettings


@pytest.mark.parametrize(
    ("tool", "arguments", "options"),
    [
        ("convert", ["a.pt", "out"], ["--source=a.pt", "--output=out"]),
        ("convert", ["a.pt", "--output", "out"], ["--output=out", "--source=a.pt"]),
        ("convert", ["--output=out", "--source", "a.pt"], ["--output=out", "--source=a.pt"]),
        ("results", ["a", "b, c"], ['--runs=["a", "b, c"]']),
        ("results", ["--runs", "a", "b", "--output=c"], ['--runs=["a", "b"]', "--output=c"]),
        ("demo", ["--draws", "0", "1", "--seeds=[2,3]"], ["--draws=[0, 1]", "--seeds=[2,3]"]),
        ("demo", ["--draws", "[0,1]"], ["--draws=[0,1]"]),
        ("data check", ["--every-frame", "--workers", "0"], ["--every_frame=true", "--workers=0"]),
        ("data check", ["--every_frame", "false", "--sets", "val"], ["--every_frame=false", '--sets=["val"]']),
        ("data check", ["--every-frame"], ["--every_frame=true"]),
        ("data check", ["--data", "HMDB51", "--data.root=a-b"], ["--data=HMDB51", "--data.root=a-b"]),
        ("data check", ["--data.help", "HMDB51"], ["--data.help=HMDB51"]),
        ("data check", ["--data.help"], ["--data.help"]),
        ("convert", ["-h"], ["--help"]),
        ("index", ["a", "b", "--library=l"], ["--library=l", '--sources=["a", "b"]']),
        ("index", ["--library=l", "--remove", "a", "b"], ["--library=l", '--remove=["a", "b"]']),
    ],
)
def test_every_argument_becomes_a_named_option(tool: str, arguments: list[str], options: list[str]) -> None:
    assert as_options(TOOLS[tool], arguments) == options


@pytest.mark.parametrize("text", ["مرحبا 世界", "🎬 👩‍🍳", 'a "b"\\ud83c', "\x7f\u2028\ufeff\n: #,]", "null", "1"])
def test_words_in_any_script_arrive_as_they_were_written(text: str) -> None:
    options = as_options(TOOLS["find"], [text, "b", "--library=l"])
    assert tool_parser(TOOLS["find"]).parse_args(options).query == [text, "b"]


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"\xff\x80 '\"\\", "世\U000f0069".encode() + b"\xe9"])
def test_names_of_files_may_be_any_bytes(name: bytes) -> None:
    text = os.fsdecode(name)
    options = as_options(TOOLS["index"], [text, "b", f"--library={text}", "--root", text])
    found = tool_parser(TOOLS["index"]).parse_args(options)
    assert (found.sources, str(found.library), found.root) == ([text, "b"], text, text)
    parsed = tool_parser(TOOLS["recognize"]).parse_args(as_options(TOOLS["recognize"], [text, f"--output={text}"]))
    assert (parsed.sources, str(parsed.output)) == ([text], text)


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("convert", ["a.pt"], "requires OUTPUT. Usage: `ost convert SOURCE OUTPUT [options]`"),
        ("convert", ["a.pt", "b", "c"], "got the unexpected argument 'c'"),
        ("convert", ["a.pt", "b", "--layuot=openai"], "no option --layuot. Did you mean --layout?"),
        ("convert", ["a.pt", "b", "--zzz=openai"], "no option --zzz. Usage: "),
        ("convert", ["a.pt", "b", "--layout"], "--layout of `ost convert` requires a value"),
        ("results", [], "requires RUNS. Usage: `ost results RUNS ... [options]`"),
        ("data check", ["list.txt"], "got the unexpected argument 'list.txt'"),
    ],
)
def test_arguments_that_cannot_be_assigned(tool: str, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        as_options(TOOLS[tool], arguments)
    assert message in str(raised.value)


def test_usage() -> None:
    assert usage(TOOLS["descriptors diff"]) == "ost descriptors diff FIRST SECOND"
    assert usage(TOOLS["descriptors generate"]).endswith("--label_space LABEL_SPACE --output OUTPUT [options]")
    assert positional(TOOLS["descriptors generate"]) == []
    assert usage(TOOLS["index"]) == "ost index [SOURCES ...] --library LIBRARY [options]"


SWITCHES = [
    (tool, name)
    for tool in TOOLS.values()
    for name, parameter in signature(tool.function).parameters.items()
    if parameter.annotation is bool
]


@pytest.mark.parametrize(("tool", "switch"), SWITCHES, ids=lambda value: getattr(value, "name", value))
def test_every_switch_works_without_a_value(tool: Tool, switch: str) -> None:
    parser = tool_parser(tool)
    required = [
        f"--{name}={'[a]' if takes_several(tool, name) else 1}"
        for name, parameter in signature(tool.function).parameters.items()
        if parameter.default is parameter.empty
    ]
    for option, value in (([f"--{switch}"], True), ([f"--{switch}", "false"], False), ([f"--{switch}=false"], False)):
        assert parser.parse_args(as_options(tool, [*required, *option]))[switch] is value


def test_names_of_options_are_the_same_everywhere() -> None:
    names = {name for tool in TOOLS.values() for name in signature(tool.function).parameters}
    options = names.difference(*(positional(tool) for tool in TOOLS.values()))
    assert not options & {"ckpt", "clip", "folder", "out", "per_class", "report"}
    assert {"descriptors_per_class", "label_space", "output", "pretrained"} <= names


def test_types_and_defaults_repeated_in_signatures_agree_with_the_implementation() -> None:
    from ost_lightning.models.checkpoints.foreign_layouts import Layout
    from ost_lightning.toyworld import dataset, grammar
    from ost_lightning.video.annotations.video_ids import IdKind

    assert (Group, Split) == (grammar.Group, dataset.Split)
    assert signature(TOOLS["convert"].function).parameters["layout"].annotation == Layout
    assert signature(TOOLS["data leak"].function).parameters["by"].annotation == IdKind
    transcode = signature(TOOLS["data transcode"].function).parameters
    settings = TranscodeSettings()
    assert {field.name: transcode[field.name].default for field in fields(settings)} == {
        field.name: getattr(settings, field.name) for field in fields(settings)
    }
