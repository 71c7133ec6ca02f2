"""The checks of prose find what they are for, and the pages of the site pass them."""

from pathlib import Path

import pytest

from tests.docs.prose import Finding, check_docstrings, check_markdown, paragraphs

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    *(CHECKOUT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    CHECKOUT / "docs" / "index.md",
    *sorted((CHECKOUT / "docs").glob("*/*.md")),
]

DOCSTRING = '''
class Settings:
    """Settings.

    Attributes:
        shots: Number of videos per class.
        seed: {description}
        last: Path of the list.
    """
'''


@pytest.mark.parametrize(
    "description",
    [
        "Of the draw of these.",
        "Theirs.",
        "Their number.",
        "How.",
        "How many.",
        "Which.",
        "Where",
        "Which classes.",
        "How; see above.",
        "Whose names.",
        "That of the next one.",
        "In reports.",
        "By name.",
        "The same.",
        "Its.",
        "The same for testing.",
        "Of\n            the seed.",
    ],
)
def test_a_description_that_needs_its_neighbor_is_found(description: str) -> None:
    (finding,) = check_docstrings(DOCSTRING.format(description=description))
    assert finding.line == 3
    assert finding.what.startswith("seed: ")


@pytest.mark.parametrize(
    "description",
    [
        "Seed for drawing the few-shot subset.",
        "Office of the seed.",
        "Whether it is drawn.",
        "Itself.",
        "In-memory size.",
        "Online store.",
        "The same frames, mirrored.",
        "What the model expects.",
        "How many videos a class has.",
        "Number of rows.\n            Of the rest nothing is said.",
        "",
    ],
)
def test_a_description_that_stands_alone_passes(description: str) -> None:
    assert check_docstrings(DOCSTRING.format(description=description)) == []


def test_descriptions_are_found_in_functions_methods_and_modules() -> None:
    source = '''"""Module.

Attributes:
    a: Theirs.
"""

class B:
    async def c(self, d):
        """Does.

        Args:
            d: Which.

        Returns:
            Of these: the first.
        """
'''
    assert check_docstrings(source) == [Finding(1, "a: Theirs."), Finding(9, "d: Which.")]


def test_code_tables_headings_and_comments_are_no_prose() -> None:
    text = "# Title\n\n```sh\ncode code\n```\n\n| a | b |\n| --- | --- |\n\n<!-- a\nb -->\nOne.\n\n![x](y.png)\n"
    assert [(part.line, part.lines) for part in paragraphs(text)] == [(12, ("One.",))]


def test_items_of_a_list_are_paragraphs_of_their_own() -> None:
    text = "Before:\n* one\n  more\n* two\n1. three\n"
    assert [(part.line, len(part.lines)) for part in paragraphs(text)] == [(1, 1), (2, 2), (4, 1), (5, 1)]


def test_long_lines_paragraphs_and_sentences_are_found() -> None:
    line = "a" * 121
    assert [finding.line for finding in check_markdown(f"short\n{line}\n")] == [2]
    assert check_markdown("a" * 120) == []
    assert [finding.line for finding in check_markdown("\n" + "Short.\n" * 6)] == [2]
    assert check_markdown("Short.\n" * 5) == []
    words = " ".join(["word"] * 15)
    assert [finding.line for finding in check_markdown(f"One.\n\n{words}\n{words} more.\n")] == [3]
    assert check_markdown(f"{words}\n{words}.\n") == []
    assert check_markdown(f"{words}. Word\n{words}.\n") == []


def test_code_counts_as_one_word_and_a_link_as_its_text() -> None:
    assert check_markdown("Word `a b c d` end. [A](a.md) word.", sentence=3) == []
    assert len(check_markdown("Word `a b c d` [a page](a.md).", sentence=3)) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_a_page_is_easy_to_read(page: Path) -> None:
    assert check_markdown(page.read_text(encoding="utf-8")) == []
