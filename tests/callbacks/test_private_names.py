"""Private names of Lightning are used in adapters only."""

import ast
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path

import lightning
import pytest
from lightning.pytorch import Callback, Trainer

from ost_lightning import callbacks
from ost_lightning.callbacks.private_names import TESTED_WITH, private
from ost_lightning.callbacks.resuming import lightning_loops

FOLDER = Path(callbacks.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))
ADAPTERS = {"resuming/lightning_loops.py", "resuming/metrics_table.py", "training/epoch_weight_averaging.py"}


def names_of_others(tree: ast.Module) -> Iterator[str]:
    """Private attributes that no class of this module sets or defines, and texts that name them."""
    nodes = list(ast.walk(tree))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and _is_private(node.attr)]
    own = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    for node in attributes:
        of_this_object = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not of_this_object or node.attr not in own:
            yield node.attr
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("epoch_loop."):
            yield node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("private", "getattr"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and _is_private(str(arg.value)))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(FOLDER).as_posix())
def test_only_adapters_know_private_names_of_lightning(module: Path) -> None:
    found = set(names_of_others(ast.parse(module.read_text(encoding="utf-8"))))
    assert bool(found) == (module.relative_to(FOLDER).as_posix() in ADAPTERS), found


def test_a_missing_name_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert lightning_loops.is_accumulating(trainer) is False
    monkeypatch.delattr(type(trainer.fit_loop), "_should_accumulate")
    name = r"lightning\.pytorch\.loops\.fit_loop\._FitLoop\._should_accumulate"
    with pytest.raises(RuntimeError, match=rf"has no {name}, .*tested with Lightning {TESTED_WITH}"):
        lightning_loops.is_accumulating(trainer)
    with pytest.raises(RuntimeError, match=r"pytorch\.trainer\.trainer\.Trainer\._nothing"):
        private(Trainer, "_nothing")


def test_the_version_that_is_named_is_the_one_that_is_installed() -> None:
    """Whoever upgrades Lightning runs the tests of resuming, and says so."""
    assert lightning.__version__ == TESTED_WITH


def test_every_callback_has_a_short_name_for_yaml() -> None:
    for module in MODULES:
        name = module.relative_to(FOLDER.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for thing in vars(import_module(f"ost_lightning.{name}")).values():
            if isclass(thing) and issubclass(thing, Callback) and thing.__module__.startswith(callbacks.__name__):
                assert thing.__name__ in callbacks.__all__
                assert getattr(callbacks, thing.__name__) is thing
