"""Parsing of an LLM's answer into a list: JSON, or numbered, bulleted or plain lines; prose is ignored."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from ost_lightning.text.typography import BULLETS, QUOTES, plain


# the docstring is part of the schema that is sent to the server: leave it unchanged
class DescriptorList(BaseModel):
    """The answer's JSON schema."""

    model_config = ConfigDict(extra="forbid")

    descriptors: list[str]


_THOUGHTS: Final = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"^[ \t]*(```|~~~)[^\n]*$", re.MULTILINE)
_MARKER: Final = re.compile(
    rf"""\s*(?:[*_]{{2}})?                       # bold begins
    (?:
        \(?(?P<number>\d{{1,3}})(?:[.)\]:](?!\d)|\s-\s)   # 1.  1)  (1)  1:  1 -
      | (?:step|descriptor)\s+\d{{1,3}}\s*[.):-]?  # Step 1:
      | [-{re.escape(BULLETS)}](?=\s|[*_]{{2}})    # - * and the like
    )(?:[*_]{{2}})?[ \t]*""",
    re.VERBOSE | re.IGNORECASE,
)
_INLINE: Final = re.compile(r"(?:^|(?<=\s))\(?(\d{1,2})[.)](?=\s)")
_REFUSAL: Final = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can ?not|can't|won't)|as an AI)\b", re.IGNORECASE
)
_EMPHASIS: Final = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=\w)|(?<=\w)\*(?![\w*])")


def parse_descriptors(answer: str) -> tuple[str, ...]:
    """Returns the descriptors in an answer, in order, each as one line without numbering, quotes and markup.

    Args:
        answer: Text of the answer, in any form.

    Returns:
        Items of the list; empty if no list was found.
    """
    text = _FENCE.sub("", _THOUGHTS.sub("", answer))
    found = _from_json(text)
    if found is None:
        found = _from_lines(text)
    return tuple(cleaned for cleaned in map(clean, found) if cleaned)


def is_refusal(answer: str) -> bool:
    """Returns whether an answer looks like a refusal."""
    return _REFUSAL.search(plain(answer)) is not None


def clean(text: str) -> str:
    """Removes list markers, quotes, emphasis, the final period and typographic characters from one descriptor."""
    text = " ".join(plain(text).split())
    previous = None
    while text != previous:
        previous = text
        text = _EMPHASIS.sub("", text).strip()
        if marker := _MARKER.match(text):
            text = text[marker.end() :].strip()
        text = text.rstrip(",;").strip()
        if len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
            text = text[1:-1].strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].strip()
    return text


def _from_json(text: str) -> list[str] | None:
    """Returns the texts of the first JSON value that contains a list of them."""
    for value in _json_values(text):
        if (texts := _texts_in(value)) is not None:
            return texts
    return None


def _json_values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    start = 0
    while (begin := re.compile(r"[\[{]").search(text, start)) is not None:
        try:
            value, end = decoder.raw_decode(text, begin.start())
        except (json.JSONDecodeError, RecursionError):
            start = begin.end()
        else:
            start = end
            yield value


def _texts_in(value: Any) -> list[str] | None:
    """Returns the texts of a list or of an object, such as {"descriptors": [...]} or [{"descriptor": "..."}]."""
    if isinstance(value, list):
        inner = [next(iter(item.values())) if isinstance(item, dict) and len(item) == 1 else item for item in value]
        return inner if inner and all(isinstance(item, str) for item in inner) else None
    if not isinstance(value, dict):
        return None
    if value and all(isinstance(item, str) for item in value.values()):
        return list(value.values())
    lists = [texts for item in value.values() if (texts := _texts_in(item)) is not None]
    return lists[0] if len(lists) == 1 else None


def _from_lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    marked: list[str] = []
    open_item = False
    for line in lines:
        if marker := _MARKER.match(line):
            marked.append(line[marker.end() :])
            open_item = True
        elif open_item and line[:1] in (" ", "\t") and line.strip():
            marked[-1] += f" {line.strip()}"
        else:
            open_item = False
    if len(marked) > 1:
        return marked
    if inline := _from_one_line(text):
        return inline
    return marked or _from_plain_lines([line.strip() for line in lines if line.strip()])


def _from_one_line(text: str) -> list[str]:
    """Returns the items of "1. a bow 2. an arrow", if the numbers count up from 1."""
    markers = list(_INLINE.finditer(text))
    if len(markers) < 2 or [int(marker.group(1)) for marker in markers] != list(range(1, len(markers) + 1)):
        return []
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    return [text[marker.end() : end] for marker, end in zip(markers, ends, strict=True)]


def _from_plain_lines(lines: list[str]) -> list[str]:
    """Returns short lines without markers, below an optional heading, or the items of one line with separators."""
    if lines and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) == 1 and not re.search(r"[.!?]\s", lines[0]) and not is_refusal(lines[0]):
        for separator in (";", ","):
            if separator in lines[0]:
                return lines[0].split(separator)
    return lines if len(lines) > 1 and not any(re.search(r"[.!?]\s+\w", line) for line in lines) else []
