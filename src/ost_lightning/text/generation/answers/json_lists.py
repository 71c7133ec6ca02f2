"""Lists of texts in an answer's JSON, including JSON with small mistakes, JSON lines and JSON within JSON."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ost_lightning.text.typography import plain

_MAX_DEPTH: Final = 12
_MAX_VALUES: Final = 1000
_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[\]{}]', re.DOTALL)
_TOKEN: Final = re.compile(
    r"""(?P<double>"(?:[^"\\]|\\.)*(?:"|\Z))|(?P<single>'(?:[^'\\]|\\.)*(?:'|\Z))|(?P<sign>[\[\]{}:,])|[^\s\[\]{}:,"']+"""
)
_PYTHON_VALUES: Final = {"None": "null", "True": "true", "False": "false"}
_LOOKS_LIKE_JSON: Final = re.compile(r"""["':,]|\A[\[{]\s*[\[{]""")
_BEGINS_LIKE_JSON: Final = re.compile(r"""^[ \t]*(?:[{\[]\s*(?:$|["'\[{\u201c])|"\w+"\s*:)""", re.MULTILINE)

_LIST_KEY: Final = re.compile(
    r"\s*(?:descriptors|descriptor[_ ]list|answers?|response|results?|output|final|final[_ ]answer|items|list)\s*",
    re.IGNORECASE,
)
_TEXT_KEY: Final = re.compile(
    "text|description|content|value|item|feature|step|action|phrase|name|sentence|detail|label"
)
_OTHER_KEYS: Final = re.compile(
    r"think|thought|reason|analy|plan|note|advice|suggest|tip|alternative|resource|error|refus|warning|draft|candidate"
    r"|question|example|reject|wrong|input|prompt|comment|explan|justif|rationale|message",
    re.IGNORECASE,
)
_NUMBERED_KEY: Final = re.compile(r"(?:(?:descriptor|step|item|feature|spatio|temporal|text)[ _-]?)?(\d{1,3})")


class UnclearAnswerError(Exception):
    """Raised when an answer has something like a list that can't be read for certain; the message says what."""


@dataclass(frozen=True, slots=True)
class FoundList:
    """List of texts in an answer.

    Attributes:
        items: Texts of the list, not cleaned.
        around: Everything else that the answer says.
        marked: Whether the items are marked as such, by JSON, numbers, bullets or a table; if not, they are lines.
    """

    items: Sequence[str]
    around: str = ""
    marked: bool = True


def list_in_json(text: str) -> FoundList | None:
    """Returns the list in an answer's JSON; None if the answer contains no JSON.

    Args:
        text: Final answer of at most 100,000 characters, without fences.

    Raises:
        UnclearAnswerError: If the JSON is broken, or contains several lists.
    """
    stripped = text.strip()
    for _ in range(3):  # JSON in a JSON text
        if not stripped.startswith('"'):
            break
        inner = _loads(stripped)
        if not isinstance(inner, str):
            break
        stripped = inner.strip()
    text = stripped
    values, around, end = [], [], 0
    for start, stop in _spans(text):
        value = _value(text[start:stop])
        if value is not None:
            values.append(value)
            around.append(text[end:start])
            end = stop
    around.append(text[end:])
    found = _found_in(values)
    if found is None:
        if _BEGINS_LIKE_JSON.search(text):
            raise UnclearAnswerError("its JSON can't be read")
        return None
    texts = [entry for value in values for entry in _strings(value)]
    said = [entry for entry in texts if entry not in set(found)]
    return FoundList(found, "\n".join([*around, *said]))


def _found_in(values: Sequence[Any]) -> list[str] | None:
    lists = [texts for value in values if (texts := _texts_in(value)) is not None]
    if any(texts != lists[0] for texts in lists[1:]):
        raise UnclearAnswerError("it has several lists")
    if lists:
        return lists[0]
    objects = [value for value in values if isinstance(value, dict)]
    lines = [text for value in objects if (text := _text_of(value)) is not None]
    return lines if lines and len(lines) == len(objects) else None


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yields start and end of each outermost pair of brackets, in linear time.

    Raises:
        UnclearAnswerError: If brackets are nested too deep, or never closed in what looks like JSON.
    """
    depth = position = start = count = 0
    bracket = re.compile(r"[\[{]")
    while True:
        if depth == 0:
            if (opened := bracket.search(text, position)) is None:
                return
            start, position, depth = opened.start(), opened.end(), 1
        if (part := _PART.search(text, position)) is None:
            break
        position = part.end()
        if part.group() in "[{":
            depth += 1
        elif part.group() in "]}":
            depth -= 1
            if depth == 0:
                count += 1
                yield start, position
        if depth > _MAX_DEPTH or count > _MAX_VALUES:
            raise UnclearAnswerError("its JSON can't be read")
    if _LOOKS_LIKE_JSON.search(text[start : start + 200]):
        raise UnclearAnswerError("its JSON can't be read")


def _value(span: str) -> Any:
    """Returns the value of a pair of brackets; None for brackets of prose, such as [1] or {archery}.

    Raises:
        UnclearAnswerError: If the JSON is broken.
    """
    for candidate in (span, plain(span)):
        for read in (_loads, _loads_with_mistakes):
            if (value := read(candidate)) is not None:
                return value if isinstance(value, dict) or any(not isinstance(item, int) for item in value) else None
    if _LOOKS_LIKE_JSON.search(span):
        raise UnclearAnswerError("its JSON can't be read")
    return None


def _loads(text: str) -> Any:
    """Returns a JSON value; None if it is invalid or an object repeats a key."""
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError):
        return None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is repeated")
    return content


def _loads_with_mistakes(text: str) -> Any:
    """Reads JSON with single quotes, trailing commas and Python's constants; strings are never joined or cut."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match["single"]:
            if len(token) < 2 or not token.endswith("'"):
                return None
            token = '"' + token[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
        elif token in ("]", "}") and tokens and tokens[-1] == ",":
            tokens.pop()
        elif not match["double"] and not match["sign"]:
            token = _PYTHON_VALUES.get(token, token)
        tokens.append(token)
    return _loads(" ".join(tokens))


def _texts_in(value: Any) -> list[str] | None:
    """Returns the texts of the only list in a value, such as {"descriptors": [...]} or [{"descriptor": "..."}].

    Raises:
        UnclearAnswerError: If there are several lists.
    """
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], dict) and (inner := _texts_in(value[0])) is not None:
            return inner
        texts = [_text_of(item) if isinstance(item, dict) else item for item in value]
        strings = [text for text in texts if isinstance(text, str)]
        return strings if strings and len(strings) == len(texts) else None
    if not isinstance(value, dict):
        return None
    kept = {key: item for key, item in value.items() if not _OTHER_KEYS.search(key)}
    numbers = {key: match for key in kept if (match := _NUMBERED_KEY.fullmatch(key.strip().lower()))}
    if numbers and all(isinstance(kept[key], str) for key in numbers):
        return [kept[key] for key in numbers]
    named = {key: item for key, item in kept.items() if _LIST_KEY.fullmatch(key)}
    for candidates in (named, kept):
        lists = [inner for item in candidates.values() if (inner := _nested(item)) is not None]
        if len(lists) > 1:
            raise UnclearAnswerError("it has several lists")
        if lists:
            return lists[0]
    return None


def _nested(value: Any) -> list[str] | None:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return _texts_in(_loads(value))
    return _texts_in(value)


def _text_of(value: Mapping[str, Any]) -> str | None:
    """Returns the descriptor of an object such as {"id": 1, "text": "..."}; None if it isn't clear which text it is."""
    kept = {
        key.strip().lower(): text
        for key, text in value.items()
        if isinstance(text, str) and not _OTHER_KEYS.search(key)
    }
    if any(isinstance(item, dict | list) for item in value.values()):
        return None
    if "descriptor" in kept:
        return kept["descriptor"]
    named = [text for key, text in kept.items() if _TEXT_KEY.fullmatch(key)] or list(kept.values())
    return named[0] if len(named) == 1 else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
