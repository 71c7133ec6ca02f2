"""Private names of Lightning are used only in adapters."""

import ast
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path

import lightning
import pytest
from lightning.pytorch import Callback, Trainer

from ost_lightning import callbacks
from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.callbacks.private_names import TESTED_WITH, private
from ost_lightning.callbacks.resuming import lightning_loops

FOLDER = Path(callbacks.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))
PUBLIC = {"_replace"}  # of named tuples
ADAPTERS = {"resuming/lightning_loops.py", "resuming/metrics_table.py", "training/epoch_weight_averaging.py"}


def foreign_private_names(tree: ast.Module) -> Iterator[str]:
    """Yields private attributes that no class of this module sets or defines, and strings that name them."""
    nodes = list(ast.walk(tree))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and _is_private(node.attr)]
    defined = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    defined |= {
        node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in attributes:
        on_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not on_self or node.attr not in defined:
            yield node.attr
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("epoch_loop."):
            yield node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("private", "getattr"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and _is_private(str(arg.value)))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(FOLDER).as_posix())
def test_only_adapters_use_private_names_of_lightning(module: Path) -> None:
    found = set(foreign_private_names(ast.parse(module.read_text(encoding="utf-8"))))
    assert bool(found) == (module.relative_to(FOLDER).as_posix() in ADAPTERS), found


def test_a_missing_private_name_raises_a_helpful_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert lightning_loops.is_accumulating(trainer) is False
    monkeypatch.delattr(type(trainer.fit_loop), "_should_accumulate")
    name = r"lightning\.pytorch\.loops\.fit_loop\._FitLoop\._should_accumulate"
    with pytest.raises(RuntimeError, match=rf"has no {name}, .*tested with Lightning {TESTED_WITH}"):
        lightning_loops.is_accumulating(trainer)
    with pytest.raises(RuntimeError, match=r"pytorch\.trainer\.trainer\.Trainer\._nothing"):
        private(Trainer, "_nothing")


def test_the_tested_version_is_the_installed_one() -> None:
    """Whoever upgrades Lightning has to run the tests of resuming and update the constant."""
    assert lightning.__version__ == TESTED_WITH


def test_every_callback_has_a_short_name_for_yaml() -> None:
    for module in MODULES:
        name = module.relative_to(FOLDER.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for member in vars(import_module(f"ost_lightning.{name}")).values():
            if member is ScorerCallback:  # a base class, which does nothing alone
                continue
            if isclass(member) and issubclass(member, Callback) and member.__module__.startswith(callbacks.__name__):
                assert member.__name__ in callbacks.__all__
                assert getattr(callbacks, member.__name__) is member
