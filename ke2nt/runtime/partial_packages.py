"""Import one module of a large package without the hundred modules that its `__init__` lists.

`import timm.models.resnet` runs the `__init__` of timm, of timm.models and, through them, of
timm.data and torchvision: every network, every dataset, half a second. Within `partial_packages`
such a package is created without running its `__init__`. That runs later, in the same module
object, when something asks for a name that is not there yet; so other code sees the whole package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ke2nt.runtime.deferred_compiler import deferred_compiler

__all__ = ["partial_packages"]

_LOCK = threading.RLock()
_RUNNING: set[str] = set()  # packages whose `__init__` is running
# dunder names that a package's `__init__` defines; others are questions of tools
_PUBLIC_DUNDERS = ("__all__", "__version__")


class _PartialPackage(ModuleType):
    """A package whose `__init__` runs when a name is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _PUBLIC_DUNDERS:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _complete(self)
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        _complete(self)
        return sorted(self.__dict__)


@contextmanager
def partial_packages(packages: Mapping[str, str | None]) -> Iterator[None]:
    """Within the block, create packages without running their `__init__`.

    If the block raises an error, everything that it loaded of these packages is forgotten, so that
    an ordinary import can follow.

    Args:
        packages: Name of a package → its module whose public names the package has at once, or
            None. Packages come before those inside them; one that is loaded already stays as it is.

    Raises:
        ImportError: A package is not installed.
    """
    roots = tuple({name.partition(".")[0] for name in packages})
    before = {name for name in sys.modules if name.partition(".")[0] in roots}
    try:
        for name, module in packages.items():
            if name not in sys.modules:
                _create(name, module)
        yield
    except BaseException:
        loaded = [name for name in sys.modules if name.partition(".")[0] in roots]
        for name in loaded:
            if name not in before:
                del sys.modules[name]
        raise


def _create(name: str, module: str | None) -> None:
    """Add a package to `sys.modules`, with the public names of one of its modules."""
    # the parent is in `sys.modules`, or the name has none, so that finding it runs nothing
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"no package {name}")
    package = importlib.util.module_from_spec(spec)
    package.__class__ = _PartialPackage
    sys.modules[name] = package
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, package)

    if module is not None:
        names = vars(importlib.import_module(f"{name}.{module}"))
        public = {k: v for k, v in names.items() if not k.startswith("_") or k == "__version__"}
        package.__dict__.update(public)


def _complete(package: ModuleType) -> None:
    """Run the `__init__` of a package and of those around it, once; other threads wait for it."""
    with _LOCK:
        # the `__init__` itself asks for names, which it then imports
        if not _is_partial(package) or package.__name__ in _RUNNING:
            return

        # that of the package around it may need this one, and complete it
        parent = sys.modules.get(package.__name__.rpartition(".")[0])
        if parent is not None:
            _complete(parent)
        if not _is_partial(package):
            return

        _RUNNING.add(package.__name__)
        try:
            spec = package.__spec__
            assert spec is not None
            assert spec.loader is not None
            with deferred_compiler():
                spec.loader.exec_module(package)
            package.__class__ = ModuleType
        finally:
            _RUNNING.discard(package.__name__)


def _is_partial(package: ModuleType) -> bool:
    return type(package) is _PartialPackage
