"""Imports of Lightning and transformers that leave out libraries of which they take a name or two, rarely used.

Lightning imports PyTorch's compiler, which takes a second, for the class of compiled modules. Transformers imports
`scipy.optimize`, a third of a second, for the losses of detection models.
"""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Final

_COMPILER: Final = "torch._dynamo"
_OPTIMIZE: Final = "scipy.optimize"


class _StandIn(ModuleType):
    """Module with a few names of a library; any other name imports the library itself in its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Compiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        # before the compiler is imported, there are no compiled modules
        compiled = getattr(sys.modules.get(_COMPILER), "OptimizedModule", cls)
        return compiled is not cls and isinstance(instance, compiled)


class OptimizedModule(metaclass=_Compiled):
    """What `isinstance` takes for a compiled module: the instances of PyTorch's class of this name."""


def resolve_without_compiler(name: str) -> Any:
    """Imports an object whose module imports Lightning, without PyTorch's compiler.

    Args:
        name: Module and object, `module:object`.
    """
    # PyTorch looks for the compiler while it is imported, and must find none
    disable = resolve_name("torch._compile:_disable_dynamo")

    def disabled(function: Any = None, recursive: bool = True, **_: Any) -> Any:
        return disable(function, recursive)  # imports the compiler when the function is called

    return resolve_without(_COMPILER, {"OptimizedModule": OptimizedModule, "disable": disabled}, name)


def resolve_without_scipy(name: str) -> Any:
    """Imports an object whose module imports a model of transformers, without SciPy.

    Args:
        name: Module and object, `module:object`.
    """
    return resolve_without(_OPTIMIZE, {"linear_sum_assignment": _linear_sum_assignment}, name)


def resolve_without(library: str, names: Mapping[str, Any], name: str) -> Any:
    """Imports an object while a stand-in takes the place of a library; afterwards, the library is imported as ever.

    If the imports ask for more than the stand-in has, as another version's might, the library is imported for them.

    Args:
        library: Module that is left out; nothing happens if it is imported already.
        names: Objects of the stand-in by their names in the library.
        name: Module and object, `module:object`.
    """
    if library in sys.modules:
        return resolve_name(name)
    module = _StandIn(library)
    module.__dict__.update(names)
    sys.modules[library] = module
    try:
        return resolve_name(name)
    except ImportError:
        pass  # perhaps because a stand-in has no submodules: the import below tells
    finally:
        if sys.modules.get(library) is module:
            del sys.modules[library]
    return resolve_name(name)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses garbage collection during large imports, where it takes a fifth of the time and frees nothing."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _linear_sum_assignment(*args: Any, **options: Any) -> Any:
    """Calls SciPy's function."""
    return import_module(_OPTIMIZE).linear_sum_assignment(*args, **options)
