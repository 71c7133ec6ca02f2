"""Checks of prose: Markdown that is easy to read, and descriptions in docstrings that make sense alone."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

LINE: Final = 120
"""Characters of a line of prose."""
PARAGRAPH: Final = 5
"""Lines of a paragraph."""
SENTENCE: Final = 30
"""Words of a sentence; 25 are better."""

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_ITEM: Final = re.compile(r"^\s*([*+-]|\d+\.)\s+")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(`*_\[]?[A-Z0-9`])")
_SECTION: Final = re.compile(r"^(Args|Attributes):\n((?:[ ]{4,}.*\n|\n)+)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^ {4}(\S[^:\n]*): *(.*(?:\n {6,}.*)*)", re.MULTILINE)
_DEPENDENT: Final = re.compile(
    r"""(As|Between|By|For|From|In|Of|On|Over|That|To|With)\s       # a phrase that belongs to another one
    | (Theirs?|Its|Them|Those|Likewise|Ditto)\b                   # a word for what was said before
    | The\ (same|other)((\ one)?[.;,]|\ (as|for|of|with)\s)
    | (How|Which|What|Where|When|Who|Whose|Why)(\s\S+)?([.;,]|$)  # a question of one or two words
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A place that should be rewritten.

    Attributes:
        line: Line in the text, from 1.
        what: Rule that is broken, with the words.
    """

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Prose of a Markdown text: a paragraph or an item of a list.

    Attributes:
        line: Line in the text, from 1.
        lines: Text, line by line.
    """

    line: int
    lines: tuple[str, ...]


def paragraphs(markdown: str) -> Iterator[Paragraph]:
    """Prose without code, tables, headings, pictures, HTML and front matter."""
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), markdown)
    prose: list[tuple[int, str]] = []
    fenced, number = False, 0
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        other = fenced or _FENCE.match(line) or line.startswith(("|", "#", "![", "<", "--8<--", "    "))
        prose.append((number, "" if other else line))
    for has_text, block in groupby(prose, key=lambda numbered: bool(numbered[1].strip())):
        if has_text:
            yield from _items(list(block))


def _items(block: list[tuple[int, str]]) -> Iterator[Paragraph]:
    start = 0
    for end in range(1, len(block) + 1):
        if end == len(block) or _ITEM.match(block[end][1]):
            yield Paragraph(block[start][0], tuple(line for _, line in block[start:end]))
            start = end


def check_markdown(
    markdown: str, *, line: int = LINE, paragraph: int = PARAGRAPH, sentence: int = SENTENCE
) -> list[Finding]:
    """Finds long lines, long paragraphs and long sentences.

    Args:
        markdown: The text.
        line: Largest number of characters of a line.
        paragraph: Largest number of lines of a paragraph.
        sentence: Largest number of words of a sentence.
    """
    findings = []
    for part in paragraphs(markdown):
        for offset, words in enumerate(part.lines):
            if len(words) > line:
                findings.append(Finding(part.line + offset, f"{len(words)} characters: {words[:60]}..."))
        if len(part.lines) > paragraph:
            findings.append(Finding(part.line, f"a paragraph of {len(part.lines)} lines: {part.lines[0][:60]}..."))
        for words in sentences(part):
            if (count := len(words.split())) > sentence:
                findings.append(Finding(part.line, f"a sentence of {count} words: {words[:60]}..."))
    return findings


def sentences(part: Paragraph) -> list[str]:
    """The sentences of a paragraph; a piece of code counts as one word, a link as its text."""
    text = " ".join(_ITEM.sub("", line).strip() for line in part.lines)
    text = re.sub(r"`[^`]*`", "`code`", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return _SENTENCE_END.split(text)


def check_docstrings(source: str) -> list[Finding]:
    """Finds descriptions of arguments and attributes that can't be read alone, as "Of the draw of these" or "How many."

    Args:
        source: Text of a Python module.
    """
    findings = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is None:
                continue
            line = node.body[0].lineno
            for name, description in entries(inspect.cleandoc(docstring)):
                if _DEPENDENT.match(description):
                    findings.append(Finding(line, f"{name}: {description[:60]}"))
    return findings


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Name and description of each argument and attribute of a Google-style docstring."""
    for section in _SECTION.finditer(f"{docstring}\n"):
        for entry in _ENTRY.finditer(section[2]):
            yield entry[1], " ".join(entry[2].split())
