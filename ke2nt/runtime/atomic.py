"""Files and folders that appear whole or not at all: write aside, fsync, rename."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ke2nt.errors import ConfigError, DataError

__all__ = [
    "atomic_folder",
    "check_folder",
    "check_new_folder",
    "write_bytes",
    "write_json",
    "write_text",
]


# Reading the umask means setting it, which is not safe between threads: once, at import.
_UMASK = os.umask(0o022)
os.umask(_UMASK)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system that name no file, or the one aside, name this one."""
    try:
        yield
    except OSError as error:
        found = error.filename
        if error.errno is not None and (found is None or f"/.{path.name}." in str(found)):
            error.filename = str(path)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path):
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o666 & ~_UMASK)
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        _fsync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, keys in the given order. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_folder(path: Path) -> None:
    """Make sure that files can be written to a folder, which need not be there yet.

    Raises:
        ConfigError: A file is in its place, or nothing may be written there.
    """
    there = path.absolute()
    while not (there.exists() or there.is_symlink()) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ConfigError(
            "no folder can be here", expected="a folder", found=f"{there}, which is none"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError("nothing may be written here", where=there)


def check_new_folder(path: Path) -> None:
    """Refuse to write into a folder that holds something.

    Raises:
        DataError: It does, or is a file.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DataError(
            "the output folder is in use",
            expected="a new or empty folder",
            where=path,
            hint="Name another folder, or remove this one first.",
        )


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a folder aside, then put it in place of `path`.

    An older folder is replaced; a reader may for a moment find none, but never a half-filled one.
    Where several writers finish at once, the last one's folder stays.

    Yields:
        A new empty folder beside `path`; it is renamed to `path` if the block ends without an
        error, and removed otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path):
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield aside
            for entry in (*aside.rglob("*"), aside):
                _fsync(entry)
            os.chmod(aside, 0o777 & ~_UMASK)
            _put_in_place(aside, path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _fsync(path.parent)


def _put_in_place(aside: Path, path: Path) -> None:
    """Rename a folder to `path`, moving aside what is there, while others may do the same."""
    trash = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    old = trash / "x"
    try:
        while True:
            try:
                os.replace(aside, path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            shutil.rmtree(old, ignore_errors=True)  # another writer's newer folder is in place
            with suppress(FileNotFoundError):
                os.replace(path, old)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(trash, ignore_errors=True)
