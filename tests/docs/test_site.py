"""The site builds strictly, needs no other host, and its extensions do what they say."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
EXTENSIONS = CHECKOUT / "docs" / "extensions"
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//")
"""What a browser fetches from another host while it draws a page; a link to click is no such thing."""


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_formulas_become_mathml() -> None:
    docstring = (
        "A :math:`P^*_t` of\n\n"
        "    .. math:: \\min_P \\sum_{tn} P_{tn} \\epsilon, \\quad\n"
        "        P 1_N = 1_T / T\n\n"
        "    after it."
    )
    converted = extension("docstring_math").with_mathml(docstring)
    assert ":math:" not in converted
    assert "math::" not in converted
    assert converted.count("<math") == converted.count("</math>") == 2
    assert "*" not in converted
    block = next(line for line in converted.splitlines() if 'display="block"' in line)
    assert block.startswith("    <math")
    assert "<mn>1</mn>" in block[block.index("quad") if "quad" in block else 0 :]
    assert converted.endswith("\n\n    after it.")


def test_a_formula_that_cannot_be_converted_stops_the_build() -> None:
    with pytest.raises(ValueError, match=r"cannot convert .*arg.* in the formula"):
        extension("docstring_math").with_mathml(r":math:`\arg\min_P x`")


def test_a_docstring_without_formulas_stays_as_it_is() -> None:
    docstring = "Plain `code` with * and _.\n\nArgs:\n    a: b.\n"
    assert extension("docstring_math").with_mathml(docstring) == docstring


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "First.\n"]},
        {"cell_type": "code", "source": ["a = 1\n", "a"]},
        {"cell_type": "markdown", "source": ["Then."]},
    ]
    notebook = tmp_path / "one.ipynb"
    notebook.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    page = extension("notebook_pages").as_markdown(notebook)
    assert page == "# Title\n\n[Download the notebook](one.ipynb)\n\nFirst.\n\n```python\na = 1\na\n```\n\nThen.\n"


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    done = build(CHECKOUT, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {
        page.relative_to(tmp_path).as_posix(): page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")
    }
    for page, html in pages.items():
        assert not LOADED.search(html), page
    assert ":math:" not in pages["reference/api/ost_lightning/matching/transport.html"]
    assert "<math" in pages["reference/api/ost_lightning/matching/matchers.html"]
    modules = [module for module in (CHECKOUT / "src/ost_lightning").rglob("*.py") if not module.stem.startswith("_")]
    for module in modules:
        page = module.relative_to(CHECKOUT / "src").with_suffix(".html").as_posix()
        assert f"reference/api/{page}" in pages
    assert (tmp_path / "tutorials/matching_step_by_step.ipynb").is_file()
    assert not (tmp_path / "extensions").exists()


@pytest.mark.slow
def test_each_mistake_is_named_and_fails_the_build(tmp_path: Path) -> None:
    """Without the API pages, which take most of the time."""
    shutil.copytree(CHECKOUT / "docs", tmp_path / "docs")
    for file in CHECKOUT.glob("*.md"):
        shutil.copy(file, tmp_path)
    config = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8"))
    config["plugins"] = ["search"]
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (tmp_path / "docs/stray.md").write_text("# Stray\n", encoding="utf-8")
    (tmp_path / "docs/index.md").write_text("[a](nowhere.md) [b](matching.md#nowhere) [c](/root.md)\n", "utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    lines = [line.strip() for line in done.stderr.splitlines() if "api/ost_lightning" not in line]
    assert "- stray.md" in lines
    links = [line for line in lines if line.startswith("WARNING") and " link " in line]
    assert len(links) == 3
    for mistake in ("'nowhere.md'", "'matching.md#nowhere'", "'/root.md'"):
        assert any(mistake in line for line in links), mistake
