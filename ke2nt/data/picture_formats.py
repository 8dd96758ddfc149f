"""Which files are pictures, which of them can be decoded here, and what the others are."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

__all__ = [
    "describe_content",
    "is_image_name",
    "is_raw_name",
    "is_system_name",
    "needs_heif",
    "pillow_formats",
    "register_heif",
]

# Formats that Pillow may try, whatever the name of a file
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".pjpeg", ".pjp", ".jp2", ".j2k", ".jpx", ".jpf"),
    *(".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs"),
)
_HEIF_SUFFIXES = (".heic", ".heif", ".heics", ".hif")
# Photographs that are named, but never decoded: most cameras' raw files are also valid TIFF files
# with nothing but a thumbnail
_RAW_SUFFIXES = (
    *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf"),
    *(".rw2", ".pef", ".srw", ".raf", ".3fr", ".erf", ".kdc", ".mrw", ".x3f"),
)
_OTHER_SUFFIXES = (".jxl", ".psd", ".tga")

_ALL_SUFFIXES = frozenset((*_SUFFIXES, *_HEIF_SUFFIXES, *_RAW_SUFFIXES, *_OTHER_SUFFIXES))
# Brands in the header of an ISO media file
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif")
_AVIF_BRANDS = (b"avif", b"avis")
_VIDEO_BRANDS = (b"isom", b"iso2", b"iso5", b"iso6", b"avc1", b"mp41", b"mp42", b"M4V ", b"qt  ")
# What systems and storage devices add to folders, often with thumbnails of every picture
_SYSTEM_NAMES = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("__macosx", "@eadir", "@recycle", "#recycle", "lost+found"),
    )
)
_CONVERT = "convert it to PNG or JPEG"


def is_image_name(path: str | Path) -> bool:
    """Whether a file name is a picture's, decodable or not; hidden files ("._face.png") are not."""
    name = str(path).replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in _ALL_SUFFIXES and name[0] != "."


def is_system_name(name: str) -> bool:
    """Whether a file or folder is hidden, or was added by a system or a storage device."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def is_raw_name(path: Path) -> bool:
    """Whether a file name is that of a camera's raw file."""
    return path.suffix.lower() in _RAW_SUFFIXES


@cache
def pillow_formats() -> tuple[str, ...]:
    """Formats that Pillow may try here; AVIF needs a recent Pillow."""
    has_avif = importlib.util.find_spec("PIL.AvifImagePlugin") is not None
    return (*_FORMATS, "AVIF") if has_avif else _FORMATS


def needs_heif(path: Path, head: bytes) -> bool:
    """Whether a file is a HEIC or HEIF picture, by its content or, if empty, its name."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _HEIF_BRANDS
    return not head and path.suffix.lower() in _HEIF_SUFFIXES


@cache
def register_heif() -> bool:
    """Teach Pillow to read HEIC files; False if the extra `heif` is not installed."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


def describe_content(path: Path, head: bytes) -> str | None:
    """What a file that cannot be decoded is, and what to do; None if that is unknown.

    Args:
        path: The file.
        head: Its first bytes, at least 40 if it has them.
    """
    suffix = path.suffix.lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the picture; type `git lfs pull`"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page, as a failed download leaves it"

    if needs_heif(path, head):
        return "a HEIC picture, which needs an extra: pip install 'ke2nt[heif]'"
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        return "an AVIF picture, which needs a newer Pillow: pip install -U pillow"
    if _is_video(head):
        return "a video; its frames are read by `ke2nt predict`, and in Python by predict_video"
    if is_raw_name(path):
        return f"a camera's raw file; {_CONVERT}"
    if suffix in _OTHER_SUFFIXES:
        return f"a {suffix[1:].upper()} picture; {_CONVERT}"
    return None


def _is_video(head: bytes) -> bool:
    is_mp4 = head[4:8] == b"ftyp" and head[8:12] in _VIDEO_BRANDS
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return is_mp4 or is_avi or head.startswith(b"\x1a\x45\xdf\xa3")  # Matroska and WebM
