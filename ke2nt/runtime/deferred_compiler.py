"""Import libraries that mention torch's compiler without loading it, which takes a second.

torchvision imports one function of `torch._dynamo` and timm decorates another with
`torch.compiler.disable`; both load the compiler, sympy and torch's distributed parts, a thousand
modules, although most programs never compile.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

__all__ = ["deferred_compiler"]

_DYNAMO = "torch._dynamo"
_UTILITIES = "torch._dynamo.utils"


@contextmanager
def deferred_compiler() -> Iterator[None]:
    """Within the block, what imports of torch's compiler bring loads it only when it is called.

    Does nothing if the compiler is loaded already.

    Example:
        >>> with deferred_compiler():
        ...     import timm
    """
    if _DYNAMO in sys.modules:
        yield
        return

    # a module in `sys.modules` is found without its parent package, which is the compiler
    stand_in = ModuleType(_UTILITIES)
    stand_in.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    disable = torch.compiler.disable
    sys.modules[_UTILITIES] = stand_in
    torch.compiler.disable = functools.partial(_disable, disable)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_UTILITIES) is stand_in:
            del sys.modules[_UTILITIES]


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


def _disable(disable: Callable[..., Any], fn: Any = None, *options: Any, **more: Any) -> Any:
    """As `torch.compiler.disable`, which is applied at the first call of the function."""
    if fn is None:
        return lambda function: _disable(disable, function, *options, **more)

    @functools.cache
    def disabled() -> Callable[..., Any]:
        return disable(fn, *options, **more)

    @functools.wraps(fn)
    def call(*arguments: Any, **keywords: Any) -> Any:
        return disabled()(*arguments, **keywords)

    return call
