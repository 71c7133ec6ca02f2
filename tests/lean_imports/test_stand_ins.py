"""Imports that leave out a library; that real ones do is tested with the commands' start-up."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from ost_lightning.lean_imports.stand_ins import (
    OptimizedModule,
    collection_paused,
    resolve_without,
    resolve_without_scipy,
)
from tests.processes import environment

HEAVY = {"heavy": {"rare": "stand-in"}}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A library, and modules that take something of it."""
    (tmp_path / "heavy").mkdir()
    for name, text in {
        "heavy/__init__": "rare = 'real'\nother = 'other'",
        "heavy/room": "chair = 'chair'",
        "modest": "from heavy import rare as taken",
        "curious": "import heavy\ntaken = heavy.rare, heavy.other",
        "roomy": "from heavy.room import chair as taken",
        "broken": "import nonsense_that_is_nowhere",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("heavy", "heavy.room", "modest", "curious", "roomy"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("modules")
def test_a_library_is_left_out_and_imported_as_ever_afterwards() -> None:
    assert resolve_without(HEAVY, "modest:taken") == "stand-in"
    assert "heavy" not in sys.modules
    import heavy  # type: ignore[import-not-found] # written by the fixture

    assert heavy.rare == "real"


@pytest.mark.usefixtures("modules")
def test_an_import_that_asks_for_more_gets_the_library() -> None:
    assert resolve_without(HEAVY, "curious:taken") == ("stand-in", "other")
    assert sys.modules["heavy"].rare == "real"
    assert resolve_without(HEAVY, "modest:taken") == "real"  # because it is imported already


@pytest.mark.usefixtures("modules")
def test_an_import_of_a_part_of_the_library_gets_the_library() -> None:
    assert resolve_without(HEAVY, "roomy:taken") == "chair"
    assert sys.modules["heavy"].rare == "real"


@pytest.mark.usefixtures("modules")
def test_a_part_of_a_library_can_have_a_stand_in_of_its_own() -> None:
    both = {**HEAVY, "heavy.room": {"chair": "stand-in for a chair"}}
    assert resolve_without(both, "roomy:taken") == "stand-in for a chair"
    assert not {"heavy", "heavy.room"} & sys.modules.keys()
    from heavy.room import chair  # type: ignore[import-not-found] # written by the fixture

    assert chair == "chair"


@pytest.mark.usefixtures("modules")
def test_an_import_that_fails_anyway_tells_why() -> None:
    with pytest.raises(ModuleNotFoundError, match="nonsense_that_is_nowhere"):
        resolve_without(HEAVY, "broken:taken")
    assert "heavy" not in sys.modules


def test_compiled_modules_are_recognized_and_only_they() -> None:
    module = nn.Linear(1, 1)
    assert not isinstance(module, OptimizedModule)
    assert isinstance(torch.compile(module), OptimizedModule)


def test_pictures_are_changed_without_the_compiler_and_boxes_are_pooled_by_torchvision() -> None:
    program = """
import sys
from ost_lightning.lean_imports.stand_ins import resolve_without_compiler
v2 = resolve_without_compiler("torchvision.transforms.v2")
import torch
assert v2.RandomGrayscale(1.0)(torch.zeros(3, 2, 2)).shape == (3, 2, 2)
assert not {"torch._dynamo", "triton", "sympy"} & sys.modules.keys()
from torchvision.ops import roi_align
torch.use_deterministic_algorithms(True)
boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
ones = torch.ones(1, 1, 4, 4)
assert roi_align(ones, boxes, 1).item() == 1.0  # asks the compiler whether it supports the CPU
from torch._dynamo.utils import is_compile_supported
assert is_compile_supported("cpu")
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())


def test_boxes_are_assigned_by_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boxes.py").write_text("from scipy.optimize import linear_sum_assignment")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name == "boxes" or name == "scipy.optimize"]:
        monkeypatch.delitem(sys.modules, name)
    assign = resolve_without_scipy("boxes:linear_sum_assignment")
    assert "scipy.optimize" not in sys.modules
    rows, columns = assign([[1.0, 0.0], [0.0, 1.0]], maximize=False)
    assert (list(rows), list(columns)) == ([0, 1], [1, 0])


def test_garbage_collection_is_paused_and_stays_off_if_it_was() -> None:
    with collection_paused():
        assert not gc.isenabled()
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
