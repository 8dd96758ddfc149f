from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from ke2nt.data import picture_formats
from ke2nt.data.images import decode
from ke2nt.data.picture_formats import is_image_name
from ke2nt.errors import ImageReadError

HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def reason(path):
    with pytest.raises(ImageReadError) as caught:
        decode(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["heic", "HEIF", "avif", "webp", "jfif", "tif", "gif", "dng"])
def test_suffixes_of_pictures(suffix):
    assert is_image_name(f"a/b.{suffix}")
    assert not is_image_name(f".b.{suffix}")
    assert not is_image_name(suffix)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.cr2", b"II*\0" + b"\0" * 60, "a camera's raw file; convert it"),
        ("a.jxl", b"\xff\x0a", "a JXL picture; convert it"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("a.jpg", b"<!DOCTYPE html><html>", "an HTML page"),
        ("a.mp4", b"\0\0\0\x1cftypisom\0\0\2\0", "a video; its frames are read by"),
        ("a.jpg", b"RIFF\0\0\0\0AVI LIST", "a video; its frames are read by"),
        ("a.mkv", b"\x1a\x45\xdf\xa3", "a video; its frames are read by"),
        ("a.jpg", b"nothing", "content that is not a JPEG"),
    ],
)
def test_files_that_cannot_be_decoded_are_named_for_what_they_are(
    tmp_path, name, content, expected
):
    path = tmp_path / name
    path.write_bytes(content)
    assert expected in reason(path)


def test_heic_without_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"  # phones rename their files
    path.write_bytes(HEIC_HEAD)
    monkeypatch.setattr("ke2nt.data.images.register_heif", lambda: False)
    assert "pip install 'ke2nt[heif]'" in reason(path)


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs the extra heif")
def test_heic(tmp_path):
    picture_formats.register_heif()
    Image.new("RGB", (16, 16), (200, 10, 10)).save(tmp_path / "a.heic", "HEIF")
    pixels = decode(tmp_path / "a.heic")
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - (200, 10, 10)).max() < 12


@pytest.mark.skipif("AVIF" not in picture_formats.pillow_formats(), reason="needs a newer Pillow")
def test_avif(tmp_path):
    Image.new("RGB", (16, 16), (200, 10, 10)).save(tmp_path / "a.avif", "AVIF")
    assert np.abs(decode(tmp_path / "a.avif").astype(int) - (200, 10, 10)).max() < 12
