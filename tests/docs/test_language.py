"""The language of the whole tree: descriptions that make sense alone, and prose that is easy to read."""

from pathlib import Path

import pytest

from tests.docs.prose import LINE, check_docstrings, check_markdown

CHECKOUT = Path(__file__).parents[2]
CODE = [
    file for folder in ("src", "benchmarks", "studies", "tests") for file in sorted((CHECKOUT / folder).rglob("*.py"))
]
PROSE = [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md"))]
YAML = [file for folder in ("experiments", "prompts", "data") for file in sorted((CHECKOUT / folder).rglob("*.yaml"))]


def path(file: Path) -> str:
    return str(file.relative_to(CHECKOUT))


@pytest.mark.parametrize("file", CODE, ids=path)
def test_descriptions_of_arguments_and_attributes_make_sense_alone(file: Path) -> None:
    assert check_docstrings(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", PROSE, ids=path)
def test_prose_is_easy_to_read(file: Path) -> None:
    assert check_markdown(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", PROSE, ids=path)
def test_rows_of_tables_fit_on_a_screen(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("|") and len(line) > 200] == []


@pytest.mark.parametrize("file", YAML, ids=path)
def test_comments_of_yaml_files_have_no_long_lines(file: Path) -> None:
    comments = [line for line in file.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("#")]
    assert [line for line in comments if len(line) > LINE] == []
