"""Characters that change how a text is shown instead of being shown: control, bidirectional, separators of lines."""

import re
from typing import Final

# control characters of C0 and C1, line and paragraph separators, lone surrogates, noncharacters, and invisible
# characters that format; the joiners (U+200C, U+200D) are part of the spelling of several languages and of emoji
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def has_control_characters(text: str) -> bool:
    """Returns whether a text has characters that change how it is shown."""
    return _CONTROL.search(text) is not None


def control_characters(text: str) -> list[str]:
    """Returns the distinct characters of a text that change how it is shown, each as its code, such as U+202E."""
    found = sorted(set(_CONTROL.findall(text)))
    return [f"U+{ord(character):04X}" for character in found]


def escaped(text: str) -> str:
    r"""Returns a text that can be printed: control characters are written as in Python, such as \x1b or \u202e.

    Examples:
        >>> escaped("a\u202eb")
        'a\\u202eb'
    """
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Returns a text on one line; control characters are shown as their codes.

    Examples:
        >>> print(one_line("high\njump \u202e"))
        high jump \u202e
    """
    return escaped(" ".join(text.split()))


def shortened(text: str, length: int = 80) -> str:
    """Returns a text of at most so many characters.

    Args:
        text: Text of any length.
        length: Largest number of characters.
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"
