"""Examples of the documentation and of docstrings run, and what they assert or print is true."""

import doctest
import importlib
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import Document, PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes

CHECKOUT = Path(__file__).parents[2]
SOURCES = CHECKOUT / "src" / "ost_lightning"
PAGES = [
    page
    for page in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]
MODULES = [module for module in sorted(SOURCES.rglob("*.py")) if ">>> " in module.read_text(encoding="utf-8")]
FIRST_PAGES = ("README", "index")
"""They have no room to make the video that they show."""
SMALLER = {'"openai/clip-vit-base-patch16"': '"tiny"', 'labels="kinetics400"': 'labels="hmdb51"'}
"""What the examples take instead: a model without a download, and 51 classes, whose sentences are soon embedded."""

MARKDOWN = (PythonCodeBlockParser(), SkipParser())
DOCSTRINGS = Sybil(
    [DocTestParser(doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)],
    document_types={".py": PythonDocStringDocument},
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with one namespace for the page, and small things in place of large ones."""
    monkeypatch.chdir(tmp_path)
    if page.stem in FIRST_PAGES:
        write_mp4(tmp_path / "clip.mp4", render_clip(draw_classes(0)["unseen"][0], seed="a"))
    text = page.read_text(encoding="utf-8")
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    document = Document(text, str(page))
    for parser in MARKDOWN:
        for region in parser(document):
            document.add(region)
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_examples_of_docstrings_print_what_they_say(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each module's examples know the module's own names."""
    monkeypatch.chdir(tmp_path)
    name = ".".join(module.relative_to(CHECKOUT / "src").with_suffix("").parts)
    document = DOCSTRINGS.parse(module)
    document.namespace.update(vars(importlib.import_module(name)))
    for example in document.examples():
        example.evaluate()
