"""Typographic characters and their plain keyboard equivalents."""

from typing import Final

PLAIN: Final = {
    "\u2018": "'",  # single quotation marks, apostrophe
    "\u2019": "'",
    "\u201a": "'",
    "\u201c": '"',  # double quotation marks
    "\u201d": '"',
    "\u201e": '"',
    "\u00ab": '"',
    "\u00bb": '"',
    "\u2010": "-",  # hyphens and dashes
    "\u2011": "-",
    "\u2012": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2026": "...",
    "\u00a0": " ",  # spaces
    "\u2009": " ",
    "\u202f": " ",
    "\u200b": "",
    "\ufeff": "",
    "\u00ad": "",
}
DOUBLE_QUOTES: Final = '"' + "".join(character for character, plain in PLAIN.items() if plain == '"')
QUOTES: Final = DOUBLE_QUOTES + "'`" + "".join(character for character, plain in PLAIN.items() if plain == "'")
DASHES: Final = "-" + "".join(character for character, plain in PLAIN.items() if plain == "-")
BULLETS: Final = "*+\u2022\u2023\u25cf\u25cb\u25e6\u25aa\u25ab\u00b7\u2219"
_TABLE: Final = str.maketrans(PLAIN)


def plain(text: str) -> str:
    """Returns the text with plain quotation marks, hyphens and spaces; accented letters are kept."""
    return text.translate(_TABLE)
