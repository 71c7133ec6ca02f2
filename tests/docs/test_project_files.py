"""Files for those who come: they parse, name what exists, and agree with the package."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

import ost_lightning

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "src" / "ost_lightning"
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/tutorials/extend.md")
"""Files that are named before they exist."""
_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+)?|\w+\.(?:py|md|toml))`")


def named_paths(guide: str) -> set[str]:
    text = (CHECKOUT / guide).read_text(encoding="utf-8")
    return {path for path in _PATH.findall(text) if "NAME" not in path}


@pytest.mark.parametrize("guide", GUIDES)
def test_paths_in_the_guides_exist(guide: str) -> None:
    roots = (CHECKOUT, PACKAGE, *PACKAGE.glob("*/"), *PACKAGE.glob("*/*/"))
    paths = named_paths(guide)
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not any((root / path).exists() for root in roots)] == []


def test_folders_and_modules_are_small() -> None:
    modules = list(PACKAGE.rglob("*.py"))
    crowded = [folder for folder, count in Counter(module.parent for module in modules).items() if count > 16]
    assert crowded == []
    assert [module for module in modules if module.read_text(encoding="utf-8").count("\n") > 400] == []


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == ost_lightning.__version__
    assert citation["license"] == "MIT"
    paper = citation["preferred-citation"]
    assert paper["year"] == 2024
    assert [author["family-names"] for author in paper["authors"]] == ["Chen", "Yu", "Yang", "Li", "Sun", "Chen"]


def test_the_changelog_has_a_section_for_this_version_below_unreleased() -> None:
    titles = re.findall(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[:2] == ["Unreleased", ost_lightning.__version__]


@pytest.mark.parametrize(
    "file",
    [*sorted((CHECKOUT / ".github").rglob("*.yml")), CHECKOUT / ".pre-commit-config.yaml"],
    ids=lambda file: file.name,
)
def test_yaml_of_the_project_parses(file: Path) -> None:
    assert yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "form", sorted((CHECKOUT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda file: file.stem
)
def test_an_issue_form_has_what_github_asks_for(form: Path) -> None:
    fields = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(fields)
    ids = [part["id"] for part in fields["body"]]
    assert len(ids) == len(set(ids))
    assert all(part["attributes"]["label"] for part in fields["body"])
