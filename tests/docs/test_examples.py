"""Examples of the documentation and of docstrings run, and what they assert or print is true."""

import doctest
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

CHECKOUT = Path(__file__).parents[2]
SOURCES = CHECKOUT / "src" / "ost_lightning"
PAGES = [
    page
    for page in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]
MODULES = [module for module in sorted(SOURCES.rglob("*.py")) if ">>> " in module.read_text(encoding="utf-8")]
NOT_YET = ("ecognizer", "DualEncoder", "PublishedDataModule")
"""Blocks with one of these words are left out until the interfaces exist."""

MARKDOWN = Sybil([PythonCodeBlockParser(), SkipParser()])
DOCSTRINGS = Sybil(
    [DocTestParser(doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)],
    document_types={".py": PythonDocStringDocument},
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with one namespace for the page."""
    monkeypatch.chdir(tmp_path)
    for example in MARKDOWN.parse(page).examples():
        if any(word in str(example.parsed) for word in NOT_YET):
            continue
        example.evaluate()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_examples_of_docstrings_print_what_they_say(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each module's examples know the module's own names."""
    monkeypatch.chdir(tmp_path)
    name = ".".join(module.relative_to(CHECKOUT / "src").with_suffix("").parts)
    document = DOCSTRINGS.parse(module)
    document.namespace.update(vars(__import__(name, fromlist=["*"])))
    for example in document.examples():
        example.evaluate()
