"""The examples in the docstrings of matching."""

import doctest
import importlib

import pytest
import torch


@pytest.mark.parametrize("module", ["matchers", "od_solver", "transport"])
def test_examples(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"ost_lightning.matching.{module}"), extraglobs={"torch": torch})
    assert results.attempted > 3
    assert results.failed == 0
