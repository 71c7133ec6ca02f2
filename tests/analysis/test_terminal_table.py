"""Markdown on a terminal: aligned tables that fit its width."""

import io

import pytest
from rich.console import Console

from ost_lightning.analysis.terminal_table import print_aligned, print_markdown

TABLE = """\
run/version_0; protocol: none named

| set | weights | Top-1 | scored / listed | undecodable | matcher |
| --- | --- | ---: | ---: | ---: | --- |
| seen [a] | as trained | 9.5 | 1,234 / 1,234 | 0 | OptimalDescriptorSolver |
| un\\|seen | ensembled_0.2 | 71.9 ± 2.0 | 20 / 20 | 0 | OptimalDescriptorSolver |

Remarks:

- one of [two]
"""


def lines(text: str, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_aligned(text, console)
    return console.file.getvalue().splitlines()


def test_columns_are_aligned_and_text_is_kept() -> None:
    shown = lines(TABLE, 120)
    header, first, second = (
        next(line for line in shown if word in line) for word in ("weights", "seen [a]", "un|seen")
    )
    assert header.index("weights") == first.index("as trained") == second.index("ensembled_0.2")
    assert header.index("Top-1") + len("Top-1") == first.index("9.5") + 3 == second.index(" ± 2.0") + 6
    assert shown[0] == "run/version_0; protocol: none named"
    assert shown[-1] == "- one of [two]"
    assert "|" not in "".join(shown).replace("un|seen", "")


def test_a_wide_table_says_once_what_all_rows_share() -> None:
    shown = lines(TABLE, 80)
    assert all(len(line) <= 80 for line in shown)
    assert "matcher: OptimalDescriptorSolver" in shown
    text = "\n".join(shown)
    assert text.count("OptimalDescriptorSolver") == 1
    assert "71.9 ± 2.0" in text
    assert "ensembled_0.2" in text


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_loses_nothing(width: int) -> None:
    shown = lines(TABLE, width)
    assert all(len(line) <= width for line in shown)
    assert "1,234" in "\n".join(shown)


def test_lines_break_between_words() -> None:
    rows = "| ContrastiveRecognition, OptimalDescriptorSolver | as trained | 1 | this package, toyworld/version_0 |\n"
    rows += "| VisionOnly, CategoryName | ensembled_0.2 | 2 | this package, toyworld/version_1 |\n"
    shown = lines(f"| method | weights | Top-1 | measured by |\n| --- | --- | ---: | --- |\n{rows}", 70)
    assert all(len(line) <= 70 for line in shown)
    for word in ("ContrastiveRecognition,", "OptimalDescriptorSolver", "ensembled_0.2", "toyworld/version_1"):
        assert word in "\n".join(shown)


def test_empty_columns_are_left_out() -> None:
    shown = lines("| a | b |\n| --- | --- |\n| 1 | |\n| 2 | |\n", 80)
    assert not any("b" in line for line in shown)


def test_a_file_or_pipe_gets_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    print_markdown(TABLE)
    assert capsys.readouterr().out == TABLE
