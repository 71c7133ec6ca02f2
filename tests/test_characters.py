import sys

import pytest

from ost_lightning.characters import control_characters, escaped, has_control_characters, shortened
from ost_lightning.cli import main


@pytest.mark.parametrize(
    ("character", "shown", "code"),
    [
        ("\x00", "\\x00", "U+0000"),
        ("\t", "\\t", "U+0009"),
        ("\n", "\\n", "U+000A"),
        ("\x1b", "\\x1b", "U+001B"),
        ("\x7f", "\\x7f", "U+007F"),
        ("\x85", "\\x85", "U+0085"),
        ("\x9b", "\\x9b", "U+009B"),
        ("\u061c", "\\u061c", "U+061C"),
        ("\u200b", "\\u200b", "U+200B"),
        ("\u200f", "\\u200f", "U+200F"),
        ("\u2028", "\\u2028", "U+2028"),
        ("\u2029", "\\u2029", "U+2029"),
        ("\u202e", "\\u202e", "U+202E"),
        ("\u2066", "\\u2066", "U+2066"),
        ("\ufeff", "\\ufeff", "U+FEFF"),
        ("\udce9", "\\udce9", "U+DCE9"),
        ("\U000e0041", "\\U000e0041", "U+E0041"),
    ],
)
def test_control_characters_are_found_and_escaped(character: str, shown: str, code: str) -> None:
    text = f"a{character}b"
    assert has_control_characters(text)
    assert control_characters(text) == [code]
    assert escaped(text) == f"a{shown}b"


@pytest.mark.parametrize(
    "text",
    [
        "a bow",
        "caf\u00e9",
        "cafe\u0301",
        "\u6771\u4eac",
        "\u0645\u06cc\u200c\u0631\u0648\u062f",
        "\U0001f468\u200d\U0001f469",
        "\u00a0",
    ],
)
def test_other_characters_are_kept(text: str) -> None:
    assert not has_control_characters(text)
    assert control_characters(text) == []
    assert escaped(text) == text


def test_errors_are_printed_escaped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ost"])
    assert main(["descriptors", "check", "no\x1b[31m\u202espace"]) == 1
    message = capsys.readouterr().err
    assert "no\\x1b[31m\\u202espace" in message
    assert "\x1b" not in message
    assert "\u202e" not in message


def test_long_texts_are_shortened() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
