"""What a fresh machine shows: rendered videos, and a library of them."""

import pytest

from ost_lightning.app.examples import Examples
from ost_lightning.app.state.models import Models
from ost_lightning.library import Library
from ost_lightning.resources import tiny_model_folder


def test_examples_are_rendered_once_and_indexed_once(models: Models) -> None:
    pytest.importorskip("lance", reason="needs the extra library")
    examples = Examples.render()
    assert len(examples.labels) == 20
    assert all(file.is_file() for file in examples.videos.values())
    written = {file: file.stat().st_mtime_ns for file in examples.folder.iterdir()}
    assert Examples.render() == examples
    assert {file: file.stat().st_mtime_ns for file in examples.folder.iterdir()} == written
    recognizer = models.of("tiny").with_labels(examples.labels)
    for name, file in list(examples.videos.items())[:2]:
        assert recognizer(file).label == name
    folder = examples.library(models.of("tiny"))
    assert folder is not None
    table = Library.open(folder).table()
    count = len(table)
    assert count >= len(written)
    assert examples.library(models.of("tiny")) == folder
    other = Models.load([str(tiny_model_folder("tiny_siglip"))], "cpu")
    assert examples.library(next(iter(other.recognizers.values()))) not in (None, folder)
    table.refresh()
    assert len(table) == count
