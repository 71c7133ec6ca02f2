"""Lists of texts in an answer's lines: numbers in any form, bullets, Markdown tables, or lines without markers."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ost_lightning.text.generation.answers.json_lists import FoundList, UnclearAnswerError
from ost_lightning.text.typography import DASHES, QUOTES

_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_CHINESE: Final = "一二三四五六七八九十"
_PLAIN_SIGNS: Final = {
    "\u3001": ".",  # ideographic comma and full stop
    "\u3002": ".",
    "\uff0e": ".",  # full-width signs
    "\uff1a": ":",
    "\uff08": "(",
    "\uff09": ")",
}
_HEAD: Final = 24
"""Number of characters at the beginning of a line that may belong to its marker."""

_BULLET: Final = re.compile(r"[-*+](?:[ \t]+(?:\[[ xX]?\][ \t]*)?|(?=[*_]{2}))")
_DASH: Final = f"[{re.escape(DASHES)}]"
_LABEL: Final = re.compile(
    rf"""
    (?:\#{{1,6}}[ \t]+)?[*_]{{0,3}}
    (?:
        (?:step|descriptor)[ \t]+\#?(?P<step>\d{{1,3}})[*_]{{0,3}}(?:[ \t]*[.)\]:,]|[ \t]*{_DASH}[ \t]|(?=[ \t]|$))
      | (?:step|descriptor|item|feature|point|phase|stage|part|number|no|nr)\.?[ \t]*\#?
        (?P<named>\d{{1,3}}|[a-z]|[ivx]{{1,4}})[*_]{{0,3}}(?:[ \t]*[.)\]:](?!\d)|[ \t]*{_DASH}[ \t])
      | (?P<ordinal>{"|".join(_ORDINALS)})(?:ly)?[*_]{{0,3}}[ \t]*(?:[:)]|{_DASH}[ \t])
      | [(\[]?\#?(?P<digits>\d{{1,3}})(?:/\d{{1,3}}|st|nd|rd|th|[º°])?[*_]{{0,3}}
        (?:\\?[.)\]:]+(?!\d)|[ \t]+{_DASH}[ \t]+(?!\d)|\t)
      | [(\[]?(?P<letters>[a-z]|[ivx]{{1,4}})[*_]{{0,3}}(?:\\?[.)\]:]+(?=[ \t]|$|[*_]{{2}}))
      | [(\[]?(?P<chinese>[{_CHINESE}]{{1,2}})[.)\]:]
    )
    [*_]{{0,3}}[ \t]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_INLINE: Final = re.compile(r"(?:^|(?<=\s))\(?(\d{1,2})[.)](?=\s)")
_COUNTED: Final = re.compile(r"\s*(\d{1,3})\s+(?=\S)")
_TABLE_RULE: Final = re.compile(r"\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?\|?")
_TEXT_COLUMN: Final = re.compile(r"descri|text|feature|step|visual|cue|item|phrase|action", re.IGNORECASE)
_SENTENCES: Final = re.compile(r"[.!?]\s+\w")


def list_in_lines(text: str) -> FoundList:
    """Returns the list in an answer's lines; without items if there is none.

    Raises:
        UnclearAnswerError: If the answer contains several lists, or a table with several columns of text.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    if (table := _table(lines)) is not None:
        return table
    found, prose = _marked_lists(lines)
    around = "\n".join(prose)
    if len(found) > 1:
        raise UnclearAnswerError("it has several lists")
    items = found[0].items if found else []
    if len(items) < 2 and (inline := _in_one_line(text)) is not None:
        return inline
    if items:
        return FoundList(items, around)
    return _plain_lines([line.strip() for line in lines if line.strip()])


def marked_list_count(text: str) -> int:
    """Returns the number of lists with at least two marked items."""
    found, _ = _marked_lists([line.rstrip() for line in text.splitlines()])
    return sum(len(entry.items) > 1 for entry in found)


def without_label(text: str) -> str:
    """Removes a bullet or number from the beginning of one item."""
    marker = _marker(text.strip())
    return text if marker is None or marker.kind == "letter" else marker.content


def without_counting(items: Sequence[str]) -> Sequence[str]:
    """Removes letters or bare numbers that count items from a or 1, such as "a) a bow" or "1 a bow"."""
    markers = [_marker(item.strip()) for item in items]
    lettered = [marker for marker in markers if marker is not None and marker.kind == "letter"]
    in_order = all(place in marker.values for place, marker in enumerate(lettered, start=1))
    if lettered and len(lettered) == len(items) and in_order:
        return [marker.content for marker in lettered]
    counted = [match for item in items if (match := _COUNTED.match(item))]
    numbers = [int(match.group(1)) for match in counted]
    if (
        len(items) > 1
        and len(counted) == len(items)
        and numbers
        in (
            list(range(1, len(items) + 1)),
            list(range(len(items))),
        )
    ):
        return [match.string[match.end() :] for match in counted]
    return items


@dataclass(frozen=True, slots=True)
class _Marker:
    kind: str  # bullet, number, letter or roman
    values: Sequence[int]  # possible positions in the list; several if a letter is also a Roman number
    content: str
    indent: int = 0


@dataclass(slots=True)
class _MarkedList:
    numbered: bool
    indent: int
    items: list[str] = field(default_factory=list)
    last: Sequence[int] = ()
    prose_since: bool = False


def _marked_lists(lines: Sequence[str]) -> tuple[list[_MarkedList], list[str]]:
    """Returns the lists with marked items, without details below the items, and the other lines."""
    found: list[_MarkedList] = []
    prose: list[str] = []
    blank = open_item = False
    for line in lines:
        if not line.strip():
            blank, open_item = True, False
            continue
        current = found[-1] if found else None
        marker = _marker(line)
        if marker is not None and marker.kind == "letter" and not _continues(marker, current):
            marker = None
        if marker is not None:
            open_item = _add(marker, found, current)
        elif current and open_item and not blank and (line[0] in " \t" or line[0].islower()):
            current.items[-1] += f" {line.strip()}"
        elif not (current and line[0] in " \t"):  # indented lines after a blank one are details of the item
            prose.append(line)
            open_item = False
            if current:
                current.prose_since = True
        blank = False
    return found, prose


def _add(marker: _Marker, found: list[_MarkedList], current: _MarkedList | None) -> bool:
    """Adds a marked line to the current list or a new one; returns False for a detail below an item."""
    numbered = marker.kind != "bullet"
    if current is not None:
        follows = current.numbered and any(value - last == 1 for value in marker.values for last in current.last)
        if marker.indent > current.indent + 1 and not follows:
            return False
        if current.numbered and not numbered and not current.prose_since:
            return False
        same_kind = current.numbered == numbered and marker.indent + 1 >= current.indent
        if numbered and current.numbered:
            same = any(value > last for value in marker.values for last in current.last) or (
                marker.values == current.last and not current.prose_since
            )
        else:
            same = not current.prose_since
        if same_kind and same:
            current.items.append(marker.content)
            current.last, current.prose_since = marker.values, False
            return True
    found.append(_MarkedList(numbered, marker.indent, [marker.content], marker.values))
    return True


def _continues(marker: _Marker, current: _MarkedList | None) -> bool:
    """Returns whether a letter continues a list; "a." may also begin a sentence."""
    if current is None or not current.numbered:
        return 1 in marker.values
    return any(value - last in (0, 1) for value in marker.values for last in current.last) or 1 in marker.values


def _marker(line: str) -> _Marker | None:
    body = line.lstrip(" \t")
    indent = len(line.expandtabs(4)) - len(body.expandtabs(4))
    while body.startswith(">"):
        body = body[1:].lstrip(" \t")
    kind = ""
    values: tuple[int, ...] = ()
    if bullet := _bullet_length(body):
        kind, body = "bullet", body[bullet:]
    head = _plain_head(body[:_HEAD])
    if (label := _LABEL.match(head)) is not None and not (kind and _position(label)[0] == "letter"):
        kind, values = _position(label)
        body = head[label.end() :] + body[_HEAD:]
    return _Marker(kind, values, body, indent) if kind else None


def _bullet_length(body: str) -> int:
    if match := _BULLET.match(body):
        return match.end()
    length = 0
    while length < min(len(body), 8) and _is_symbol(body[length], first=length == 0):
        length += 1
    if length == 0 or body[length : length + 1] == "\u20e3":
        return 0
    return length + len(body[length:]) - len(body[length:].lstrip(" \t"))


def _is_symbol(character: str, *, first: bool) -> bool:
    """Returns whether a character is a bullet, dash, arrow, star, check mark or emoji, but not a circled number."""
    if character.isascii() or character in QUOTES or character in "¿¡…§¶°©®™":
        return False
    if not first and character in "\ufe0f\u200d":
        return True
    return unicodedata.category(character) in ("So", "Sm", "Po", "Pd") and unicodedata.digit(character, None) is None


def _plain_head(head: str) -> str:
    """Returns the beginning of a line with ASCII digits and punctuation: full-width, circled and keycap digits."""
    head = head.replace("\ufe0f\u20e3", ". ").replace("\u20e3", ". ")
    characters = []
    for character in head:
        if not character.isascii() and (character.isdigit() or unicodedata.category(character) == "No"):
            number = unicodedata.numeric(character, None)
            if number is not None and number.is_integer():
                characters.append(f"{number:.0f}" if character.isdecimal() else f"{number:.0f}. ")
                continue
        characters.append(_PLAIN_SIGNS.get(character, character))
    return "".join(characters)


def _position(label: re.Match[str]) -> tuple[str, tuple[int, ...]]:
    if text := label["ordinal"]:
        return "number", (_ORDINALS.index(text.lower()) + 1,)
    if text := label["chinese"]:
        return "number", (_CHINESE.find(text) + 1 or 10 + _CHINESE.find(text[-1]) + 1,)
    text = (label["step"] or label["named"] or label["digits"] or label["letters"]).lower()
    if text.isdigit():
        return "number", (int(text),)
    values = [ord(text) - ord("a") + 1] if len(text) == 1 else []
    if text in _ROMAN:
        values.append(_ROMAN.index(text) + 1)
    return "letter", tuple(values)


def _in_one_line(text: str) -> FoundList | None:
    """Returns the items of "1. a bow 2. an arrow" if the numbers count up from 1."""
    markers = list(_INLINE.finditer(text))
    if len(markers) < 2 or [int(marker.group(1)) for marker in markers] != list(range(1, len(markers) + 1)):
        return None
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    items = [text[marker.end() : end] for marker, end in zip(markers, ends, strict=True)]
    return FoundList(items, text[: markers[0].start()])


def _plain_lines(lines: list[str]) -> FoundList:
    """Returns short lines without markers, below an optional heading, or the items of one line with separators."""
    heading = ""
    if lines and lines[0].endswith(":"):
        heading, lines = lines[0], lines[1:]
    if len(lines) == 1 and not re.search(r"[.!?]\s", lines[0]):
        for separator in (";", ","):
            if separator in lines[0]:
                return FoundList(lines[0].split(separator), heading, marked=False)
    if len(lines) < 2 or any(_SENTENCES.search(line) for line in lines):
        return FoundList((), "\n".join([heading, *lines]))
    return FoundList(lines, heading, marked=False)


def _table(lines: Sequence[str]) -> FoundList | None:
    """Returns the column of texts of a Markdown table; None if there is no table.

    Raises:
        UnclearAnswerError: If it isn't clear which column has the texts.
    """
    rules = [index for index, line in enumerate(lines) if "-" in line and _TABLE_RULE.fullmatch(line.strip())]
    if not rules:
        return None
    start = rules[0]
    end = next((index for index in range(start + 1, len(lines)) if "|" not in lines[index]), len(lines))
    header = _cells(lines[start - 1]) if start else []
    rows = [_cells(line) for line in lines[start + 1 : end]]
    if len(rules) > 1 or not header or not rows or any(len(row) != len(header) for row in rows):
        raise UnclearAnswerError("its table has several columns")
    columns = [column for column in range(len(header)) if not all(_is_number(row[column]) for row in rows)]
    named = [column for column in columns if _TEXT_COLUMN.search(header[column])]
    chosen = columns if len(columns) == 1 else named
    if len(chosen) != 1:
        raise UnclearAnswerError("its table has several columns")
    around = "\n".join([*lines[: start - 1], *lines[end:]])
    return FoundList([row[chosen[0]] for row in rows], around)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[(\[#*]*\d{0,3}[.)\]:*]*", cell) is not None
