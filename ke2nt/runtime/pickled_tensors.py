"""Tensors of torch archives that hold whole modules, read without running any code of theirs."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["Inert", "is_torchscript", "read_archive", "tensors_of_module"]

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# a file that names these was made to run code; weights never need them
_SUSPICIOUS = frozenset(
    {"__builtin__", "builtins", "ctypes", "importlib", "nt", "os", "posix", "pty", "runpy"}
    | {"shutil", "socket", "subprocess", "sys"}
)
_HARMLESS = frozenset({"bytearray", "complex", "frozenset", "object", "range", "set", "slice"})
# attributes of nn.Module that hold its tensors and submodules
_CONTAINERS = ("_parameters", "_buffers", "_modules")


class Inert:
    """Stands for an object of any other class: it keeps the state and does nothing."""

    state: Any = None

    def __new__(cls, *args: Any, **options: Any) -> Inert:
        """Accept and ignore whatever the class's constructor would take."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    # pickle fills lists and dicts of unknown classes by these
    def append(self, value: Any) -> None:
        """Ignore an item of a list."""

    def extend(self, values: Any) -> None:
        """Ignore items of a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive of `torch.jit.save`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_archive(path: Path) -> Any:
    """Read a zip archive of `torch.save` or `torch.jit.save`.

    Tensors, numbers, texts, lists and dicts are read; all other objects become `Inert`. OpenAI's
    CLIP files and pickled `nn.Module` objects are read in this way.

    Raises:
        pickle.UnpicklingError: The file would run code, or is damaged.
        Exception: Whatever zipfile, pickle and torch raise on damaged files.
    """
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as file:
            return _InertUnpickler(file, archive, name.removesuffix("data.pkl")).load()


def tensors_of_module(module: Inert) -> dict[str, Tensor]:
    """Name → tensor of a pickled or scripted module and its submodules."""
    return dict(_walk(module, ""))


def _walk(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    state = value.state if isinstance(value, Inert) else value
    if not isinstance(state, Mapping):
        return

    for key, inner in state.items():
        if isinstance(inner, Tensor):
            yield f"{prefix}{key}", inner
        elif isinstance(inner, Inert | Mapping):
            yield from _walk(inner, prefix if key in _CONTAINERS else f"{prefix}{key}.")


class _InertUnpickler(pickle.Unpickler):
    """Builds tensors; of every other class and function only `Inert` objects."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        """Never import anything."""
        if module.split(".")[0] in _SUSPICIOUS and name not in _HARMLESS:
            raise pickle.UnpicklingError(f"the file calls {module}.{name}")
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "collections":
            return dict if name == "OrderedDict" else Inert
        return _BUILDERS.get((module, name), Inert)

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of one storage (N,), as the archive holds them."""
        _, dtype, key, _, _ = pid
        data = bytearray(self._archive.read(f"{self._root}data/{key}"))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _build_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _first(value: Any, *_: Any) -> Any:
    return value


_BUILDERS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _build_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch.jit._pickle", "build_intlist"): _first,
    ("torch.jit._pickle", "build_tensorlist"): _first,
    ("torch.jit._pickle", "restore_type_tag"): _first,
}
