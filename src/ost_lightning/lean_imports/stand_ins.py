"""Imports of other libraries that leave out libraries of which they take a name or two, rarely used.

Lightning and torchvision import PyTorch's compiler, which takes a second, for the class of compiled modules and for
detection models. Lightning imports Triton for counting operations. Transformers imports `scipy.optimize`, a third of a
second, for the losses of detection models.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Final

_COMPILER: Final = "torch._dynamo"
_COMPILER_UTILITIES: Final = "torch._dynamo.utils"
_TRITON: Final = "triton.runtime.jit"
_OPTIMIZE: Final = "scipy.optimize"


class _StandIn(ModuleType):
    """Module with a few names of a library; any other name imports the library itself in its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _class_of(library: str, name: str) -> type:
    """Returns what `isinstance` takes for a class of a library; before the library is imported, it has no instances."""

    class Checked(type):
        def __instancecheck__(cls, instance: object) -> bool:
            found = getattr(sys.modules.get(library), name, cls)
            return found is not cls and isinstance(instance, found)

    return Checked(name, (), {})


OptimizedModule = _class_of(_COMPILER, "OptimizedModule")
"""Class of compiled modules."""


def resolve_without_compiler(name: str) -> Any:
    """Imports an object whose module imports Lightning or torchvision, without PyTorch's compiler and Triton.

    Args:
        name: Module and object, `module:object`.
    """
    # PyTorch looks for the compiler while it is imported, and must find none
    disable = resolve_name("torch._compile:_disable_dynamo")

    def disabled(function: Any = None, recursive: bool = True, **_: Any) -> Any:
        return disable(function, recursive)  # imports the compiler when the function is called

    stand_ins: dict[str, dict[str, Any]] = {
        _COMPILER: {"OptimizedModule": OptimizedModule, "disable": disabled},
        _COMPILER_UTILITIES: {"is_compile_supported": _later(_COMPILER_UTILITIES, "is_compile_supported")},
    }
    if find_spec("triton") is not None:
        stand_ins[_TRITON] = {"JITFunction": _class_of(_TRITON, "JITFunction")}
    return resolve_without(stand_ins, name)


def resolve_without_scipy(name: str) -> Any:
    """Imports an object whose module imports a model of transformers, without SciPy.

    Args:
        name: Module and object, `module:object`.
    """
    return resolve_without({_OPTIMIZE: {"linear_sum_assignment": _later(_OPTIMIZE, "linear_sum_assignment")}}, name)


def resolve_without(stand_ins: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    """Imports an object while stand-ins take the places of modules; afterwards, these are imported as ever.

    If the imports ask for more than a stand-in has, as another version's might, the module is imported for them.

    Args:
        stand_ins: Objects of each stand-in by their names, by the name of the module that is left out. Nothing happens
            to modules that are imported already.
        name: Module and object, `module:object`.
    """
    modules = {library: _StandIn(library) for library in stand_ins if library not in sys.modules}
    for library, module in modules.items():
        module.__dict__.update(stand_ins[library])
        sys.modules[library] = module
    try:
        return resolve_name(name)
    except ImportError:
        pass  # perhaps because a stand-in has no submodules: the import below tells
    finally:
        for library, module in modules.items():
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


def _later(library: str, name: str) -> Callable[..., Any]:
    """Returns a function that imports a library's function when it is called."""

    def call(*args: Any, **options: Any) -> Any:
        return getattr(import_module(library), name)(*args, **options)

    return call
