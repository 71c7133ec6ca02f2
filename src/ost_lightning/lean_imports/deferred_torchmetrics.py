"""Import of torchmetrics without what recognition doesn't use: the only module that uses its private names.

Lightning and this package need two of its classes. Importing the package executes all of its metrics, and so SciPy,
matplotlib and the detection models of torchvision, which takes two seconds.
"""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import version
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_NAME: Final = "torchmetrics"
_PLOT: Final = "torchmetrics.utilities.plot"
_HOMES: Final = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}
"""Modules of the classes that are available without the rest of the package."""


class _Deferred(ModuleType):
    """Module that is executed when a name is asked for that it doesn't have yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        if self.__name__ == _NAME and name in _HOMES:
            import_module("torchmetrics.utilities")  # else it and the class's module import each other in a circle
            return getattr(import_module(_HOMES[name]), name)
        self.__class__ = ModuleType  # type: ignore[assignment] # from now on, it is an ordinary one
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer_torchmetrics() -> None:
    """Defers the execution of torchmetrics until a name other than its two base classes is asked for.

    All of its names remain importable as documented. Nothing happens if it is imported already.
    """
    if _NAME in sys.modules:
        return
    package = _deferred(_NAME, sys.path)
    package.__dict__.update(_logger=logging.getLogger(_NAME), __version__=version(_NAME))
    plot = _deferred(_PLOT, [str(Path(folder) / "utilities") for folder in package.__path__])
    # types of the base class's annotations, and what its method `plot` calls
    plot.__dict__.update(_AX_TYPE=Any, _PLOT_OUT_TYPE=Any, plot_single_or_multi_val=_plot_values)


def _deferred(name: str, folders: Sequence[str]) -> ModuleType:
    spec = PathFinder.find_spec(name, folders)  # unlike importlib's, it doesn't import the packages above
    if spec is None:
        raise ImportError(f"{name} is missing: reinstall torchmetrics.")
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[name] = module
    return module


def _plot_values(*args: Any, **kwargs: Any) -> Any:
    """Plots the values of a metric; the real function replaces this one in its module."""
    plot = import_module(_PLOT)
    _ = plot.plot_curve  # executes the module
    return plot.plot_single_or_multi_val(*args, **kwargs)
