"""What a file that should hold weights really is, by its first bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ke2nt.errors import CheckpointError, Ke2ntError

__all__ = ["check_content", "foreign_content", "is_safetensors", "is_text"]

_HEAD = 1024  # bytes
_LFS = (
    "a Git LFS pointer, not the file it stands for",
    "Type: git lfs pull in the folder, or download the file itself.",
)
_WEB_PAGE = (
    "a web page (HTML)",
    "The download got a page in place of the file: open the link and download the file itself.",
)
_SIGNATURES: tuple[tuple[bytes, tuple[str, str]], ...] = (
    (b"version https://git-lfs.github.com/spec/", _LFS),
    (b"\x93NUMPY", ("a NumPy array (.npy)", "Save its arrays as tensors with safetensors.")),
    (b"\x89HDF", ("an HDF5 file, as Keras writes", "Convert it to safetensors first.")),
    (b"\x1f\x8b", ("a gzip archive", "Unpack it first.")),
    (b"7z\xbc\xaf", ("a 7z archive", "Unpack it first.")),
    (b"Rar!", ("a RAR archive", "Unpack it first.")),
    (b"\x89PNG", ("an image", "Check the path.")),
    (b"\xff\xd8\xff", ("an image", "Check the path.")),
    (b"%PDF", ("a PDF document", "Check the path.")),
)
_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")


def foreign_content(path: Path) -> tuple[str, str] | None:
    """Recognize files that are often saved under the name of a weights file.

    Args:
        path: An existing file.

    Returns:
        What it is ("an empty file") and what to do, or None for anything that may hold weights.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file", "Download or copy it again."

    for signature, answer in _SIGNATURES:
        if head.startswith(signature):
            return answer
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_STARTS):
        return _WEB_PAGE
    return _foreign_zip(path) if head.startswith(b"PK\x03\x04") else None


def is_text(path: Path) -> bool:
    """Whether a file begins with text alone; the pickles of very old programs do, too."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.decode("utf-8", "ignore")
    return all(sign.isprintable() or sign in "\r\n\t" for sign in text) and len(text) > 0


def check_content(path: Path, error: type[Ke2ntError] = CheckpointError) -> None:
    """Raise an error that names what a file is, if it is known not to hold weights."""
    answer = foreign_content(path) if path.is_file() else None
    if answer is not None:
        found, hint = answer
        raise error("the file cannot be read", where=path, found=found, hint=hint)


def is_safetensors(path: Path) -> bool:
    """Whether a file starts as safetensors files do, whatever its name is."""
    with path.open("rb") as file:
        head = file.read(9)
    # eight bytes with the length of a JSON object, which follows
    length = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and 8 + length <= path.stat().st_size


def _foreign_zip(path: Path) -> tuple[str, str] | None:
    """Tell a zip archive of torch from all others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None  # a damaged file of torch, in all likelihood

    # torch writes NAME/data.pkl beside the tensors
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", "Save its arrays as tensors with safetensors."
    return "a zip archive", "Unpack it first."
