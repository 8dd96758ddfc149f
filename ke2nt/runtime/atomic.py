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


# The umask can only be read by setting it, which is not safe between threads: once, at import
_UMASK = os.umask(0o022)
os.umask(_UMASK)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Let system errors name this file, if they name none or the temporary file beside it."""
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
    with _name_in_errors(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_UMASK)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

        # the new name of the file is on disk only after this
        _fsync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    # file names that are not UTF-8 are written as escapes, which are also those of JSON
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, with keys in their order. NaN is an error."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_folder(path: Path, *, option: str = "--out") -> None:
    """Check that files can be written to a folder, which need not exist yet.

    Args:
        path: The folder.
        option: The option that names it, for messages.

    Raises:
        ConfigError: There is a file of that name, or the folder is not writable.
    """
    existing = path.absolute()
    while not (existing.exists() or existing.is_symlink()) and existing != existing.parent:
        existing = existing.parent

    # missing folders would be created in the nearest one that exists
    if not existing.is_dir():
        raise ConfigError(
            "cannot create the output folder",
            expected="a folder",
            found=f"{existing}, which is not a folder",
            hint=f"Choose another folder with {option}.",
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            "the output folder is not writable",
            where=existing,
            hint=f"Choose another folder with {option}.",
        )


def check_new_folder(path: Path) -> None:
    """Refuse to write into a folder that is not empty.

    Raises:
        DataError: The folder is not empty, or is a file.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DataError(
            "the output folder is in use",
            expected="a new or empty folder",
            where=path,
            hint="Choose another folder, or remove this one first.",
        )


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary folder, then rename it to `path`.

    An older folder is replaced; for a moment a reader may find none, but never a half-filled one.
    If several writers finish at once, the folder of the last one stays.

    Yields:
        A new empty folder beside `path`. It is renamed to `path` if the block ends without an
        error, and removed otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _name_in_errors(path):
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            for entry in (*temporary.rglob("*"), temporary):
                _fsync(entry)
            os.chmod(temporary, 0o777 & ~_UMASK)
            _replace_folder(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _fsync(path.parent)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Rename a folder to `path` and remove the old one, while others may do the same."""
    trash = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    old = trash / "x"

    try:
        # a folder cannot replace one that is not empty: the old one is moved away first
        while True:
            try:
                os.replace(temporary, path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            shutil.rmtree(old, ignore_errors=True)  # of an earlier round: another writer was faster
            with suppress(FileNotFoundError):
                os.replace(path, old)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(trash, ignore_errors=True)
