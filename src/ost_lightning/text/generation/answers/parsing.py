"""Parsing of an LLM's answer into a list: JSON, numbered or bulleted lines, tables or plain lines; prose is ignored.

An answer is read for certain or not at all: a list that isn't found is requested again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from ost_lightning.text.generation.answers.json_lists import UnclearAnswerError, list_in_json
from ost_lightning.text.generation.answers.line_lists import (
    list_in_lines,
    marked_list_count,
    without_counting,
    without_label,
)
from ost_lightning.text.generation.answers.refusals import is_refusal
from ost_lightning.text.generation.answers.thoughts import MAX_CHARACTERS, final_answer
from ost_lightning.text.typography import QUOTES, plain


# the docstring is part of the schema that is sent to the server: leave it unchanged
class DescriptorList(BaseModel):
    """The answer's JSON schema."""

    model_config = ConfigDict(extra="forbid")

    descriptors: list[str]


_MAX_ITEMS: Final = 1000
_MAX_LENGTH: Final = 2000
_MAX_MARKERS: Final = 10
_FENCE: Final = re.compile(r"^[ \t]*(```|~~~)[^\n]*$", re.MULTILINE)
_EMPHASIS: Final = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=\w)|(?<=\w)\*(?![\w*])")


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """List in an answer.

    Attributes:
        descriptors: Items of the list, each as one line without numbering, quotes and markup; empty if there is none.
        problem: Reason why the list can't be read; empty if it was read, or if nothing looks like a list.
        around: Text of the final answer outside the list.
        marked: Whether the items are marked as such; if not, they are lines, or parts of a line between commas.
    """

    descriptors: tuple[str, ...] = ()
    problem: str = ""
    around: str = ""
    marked: bool = True


def parse_answer(answer: str) -> ParsedAnswer:
    """Finds the list in an answer.

    Args:
        answer: Text of the answer, in any form.
    """
    text = final_answer(answer)
    if len(text) > MAX_CHARACTERS:
        return ParsedAnswer(problem=f"it is longer than {MAX_CHARACTERS:,} characters")
    text = _FENCE.sub("", text)
    try:
        found = list_in_json(text)
        if found is None:
            found = list_in_lines(text)
        elif marked_list_count(found.around):
            raise UnclearAnswerError("it has several lists")
    except UnclearAnswerError as error:
        return ParsedAnswer(problem=str(error), around=text)
    if len(found.items) > _MAX_ITEMS:
        return ParsedAnswer(problem=f"it has more than {_MAX_ITEMS} items", around=found.around)
    if not found.marked and is_refusal(text, item=True):
        return ParsedAnswer(around=text)
    items = without_counting([cleaned for cleaned in map(clean, found.items) if cleaned])
    return ParsedAnswer(_cleaned(items), "", found.around, found.marked)


def parse_descriptors(answer: str) -> tuple[str, ...]:
    """Returns the descriptors in an answer, in order; empty if no list was found, or it can't be read for certain.

    Args:
        answer: Text of the answer, in any form.
    """
    return parse_answer(answer).descriptors


def clean(text: str) -> str:
    """Removes list markers, quotes, emphasis, the final period and typographic characters from one descriptor.

    Returns:
        The descriptor; empty if the text is hardly more than markers.
    """
    text = " ".join(plain(text).split())
    if len(text) > _MAX_LENGTH:
        return text
    for _ in range(_MAX_MARKERS):
        previous = text
        text = without_label(_EMPHASIS.sub("", text).strip()).strip()
        text = text.rstrip(",;").strip()
        if len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
            text = text[1:-1].strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].strip()
        if text == previous:
            return text
    return ""


def _cleaned(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(cleaned for cleaned in map(clean, items) if cleaned)
