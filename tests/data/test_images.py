from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ke2nt.data import images
from ke2nt.data.images import decode, is_image_name, probe
from ke2nt.data.sample import ChangedImage
from ke2nt.errors import DataError, ImageReadError


def save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.fixture
def rgb():
    y, x = np.mgrid[0:24, 0:16]
    return np.stack([x * 15, y * 10, (x + y) * 6], axis=-1).astype(np.uint8)


def test_lossless_rgb_is_unchanged(tmp_path, rgb):
    out = decode(save(tmp_path / "a.png", Image.fromarray(rgb)))
    assert out.dtype == np.uint8
    assert np.array_equal(out, rgb)


def test_arrays_pass_through_and_gray_is_repeated(rgb):
    assert np.array_equal(decode(rgb), rgb)
    gray = rgb[:, :, 0]
    assert np.array_equal(decode(gray), np.repeat(gray[:, :, None], 3, axis=2))
    assert np.array_equal(decode(gray[:, :, None]), decode(gray))


def test_result_is_a_writable_copy(rgb):
    out = decode(rgb)
    out[:] = 0
    assert rgb.any()


def test_gray_bilevel_and_palette(tmp_path, rgb):
    gray = Image.fromarray(rgb[:, :, 1])
    out = decode(save(tmp_path / "l.png", gray))

    assert np.array_equal(out, decode(rgb[:, :, 1]))

    bits = decode(save(tmp_path / "1.png", gray.convert("1")))
    assert set(np.unique(bits)) <= {0, 255}

    colors = Image.fromarray(rgb // 64 * 64).quantize(256, dither=Image.Dither.NONE)
    out = decode(save(tmp_path / "p.png", colors))
    assert np.array_equal(out, np.array(colors.convert("RGB")))


def test_transparency_lies_over_mid_gray(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    pixels[0, 1] = (255, 0, 0, 0)
    pixels[1, 0] = (255, 255, 255, 128)
    out = decode(save(tmp_path / "rgba.png", Image.fromarray(pixels)))

    assert out[0, 0].tolist() == [255, 0, 0]
    assert out[0, 1].tolist() == [128, 128, 128]
    assert abs(int(out[1, 0, 0]) - (255 * 128 + 128 * 127) / 255) <= 1

    # With gray, and with a palette
    la = Image.fromarray(np.array([[[200, 255], [200, 0]]], np.uint8), mode="LA")
    assert decode(save(tmp_path / "la.png", la))[0, :, 0].tolist() == [200, 128]

    p = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    p.putpalette([10, 20, 30, 40, 50, 60])

    assert decode(save(tmp_path / "pt.png", p, transparency=1)).tolist() == [
        [[10, 20, 30], [128, 128, 128]]
    ]


def test_16_bit_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 256 * 100, 32768, 65535]], np.uint16)
    expected = np.round(values / 257).astype(int).tolist()
    for name in ("a.png", "a.tif"):
        out = decode(save(tmp_path / name, Image.fromarray(values)))
        assert out[:, :, 0].tolist() == expected


def test_values_without_a_fixed_range_are_refused(tmp_path):
    for name, values in (
        ("f.tif", np.array([[0.5, 0.7]], np.float32)),
        ("i.tif", np.array([[0, 1 << 20]], np.int32)),
    ):
        with pytest.raises(ImageReadError, match="fixed range"):
            decode(save(tmp_path / name, Image.fromarray(values)))


def test_cmyk(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    out = decode(save(tmp_path / "c.jpg", red, quality=95))
    assert out.shape == (8, 8, 3)
    assert abs(out.astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("source", [b"", io.BytesIO()])
def test_content_of_no_bytes_is_an_empty_file(source):
    with pytest.raises(ImageReadError, match="an empty file"):
        decode(source)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation(tmp_path, orientation, suffix):
    """Upright, the image is dark at the top left only; stored, it is turned the other way."""
    upright = np.full((32, 48), 240, np.uint8)
    upright[:16, :24] = 10
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.T[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }

    # The stored image undoes the rotation that its tag asks for
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    path = save(tmp_path / f"turned{suffix}", stored, exif=exif)
    for size in (None, 16):
        out = decode(path, size=size)
        h, w = out.shape[:2]
        assert (h, w) == ((32, 48) if size is None else (16, 16))
        dark = out[:, :, 0] < 128
        assert dark[: h // 2 - 1, : w // 2 - 1].all()
        assert not dark[h // 2 + 1 :].any()
        assert not dark[:, w // 2 + 1 :].any()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert decode(path)[0, 0].tolist() == [255, 0, 0]


def test_content_decides_the_format(tmp_path, rgb):
    path = tmp_path / "really_a_png.jpg"
    Image.fromarray(rgb).save(path, format="PNG")
    assert np.array_equal(decode(path), rgb)
    assert probe(path) == (16, 24, "PNG")


def test_resize_averages_instead_of_picking(tmp_path):
    board = ((np.indices((64, 64)).sum(axis=0) % 2) * 255).astype(np.uint8)
    for interpolation in ("bilinear", "bicubic", "lanczos"):
        small = decode(board, size=8, interpolation=interpolation).astype(int)
        assert small.shape == (8, 8, 3)
        assert abs(small - 127.5).max() < 16
    picked = decode(board, size=8, interpolation="nearest")

    assert set(np.unique(picked)) <= {0, 255}
    with pytest.raises(DataError, match="interpolation"):
        decode(board, size=8, interpolation="cubic")


def test_large_jpeg_is_decoded_at_a_reduced_scale(tmp_path, monkeypatch):
    path = save(tmp_path / "big.jpg", Image.new("RGB", (1600, 1600), (200, 100, 50)))
    monkeypatch.setattr(images, "MAX_PIXELS", 1000 * 1000)

    with pytest.raises(ImageReadError, match="1600 x 1600 pixels"):
        decode(path)

    out = decode(path, size=64)
    assert out.shape == (64, 64, 3)
    assert abs(out.astype(int) - [200, 100, 50]).max() < 6


@pytest.mark.parametrize("side", [8_500, 60_000])
def test_bombs_are_refused_before_decoding(tmp_path, side):
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))

    with pytest.raises(ImageReadError, match="pixels") as caught:
        decode(path, size=64)
    assert "bomb.png" in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp"])
def test_truncated(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageReadError, match="cut"):
        decode(path)


def test_errors_name_the_reason(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image at all")

    for name, reason in (
        ("empty.png", "an empty file"),
        ("text.png", "content that is no"),
        ("absent.png", "no such file"),
        (".", "a folder"),
    ):
        for function in (decode, probe):
            with pytest.raises(ImageReadError) as caught:
                function(tmp_path / name)
            assert reason in str(caught.value.found)
            assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((4, 4, 3), 2, np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_arrays_that_are_not_images(pixels):
    with pytest.raises(ImageReadError):
        decode(pixels)


def test_failing_change_is_an_image_read_error(tmp_path, rgb):
    def fail(pixels):
        raise ZeroDivisionError("no contrast")

    with pytest.raises(ImageReadError, match="no contrast"):
        decode(ChangedImage(rgb, fail))
    with pytest.raises(ImageReadError, match=r"no such file|gone\.png"):
        decode(ChangedImage(tmp_path / "gone.png", fail))


def test_is_image_name():
    assert is_image_name("a/b.JPG")
    assert is_image_name("a.png")
    assert not is_image_name("a.csv")
    assert not is_image_name("._a.png")
    assert not is_image_name("png")


_NOISE = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_bytes_give_pixels_or_an_image_read_error(tmp_path, data, kind):
    buffer = io.BytesIO()
    Image.fromarray(_NOISE).save(buffer, format=kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        out = decode(path, size=8)
    except ImageReadError:
        return

    assert out.shape == (8, 8, 3)
    assert out.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_pil_images_decode_like_their_files(tmp_path, rgb, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(rgb), exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(decode(image), decode(path))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16", "YCbCr", "HSV"])
def test_pil_images_of_every_mode_become_rgb(rgb, mode):
    image = Image.fromarray(rgb)
    image = (image.convert("I") if mode == "I;16" else image).convert(mode)
    assert decode(image).shape == rgb.shape
    assert np.array_equal(decode(image, size=8), decode(decode(image), size=8)) or mode == "1"


def test_pil_images_without_a_pixel_range_are_refused(rgb):
    with pytest.raises(ImageReadError, match="fixed range"):
        decode(Image.fromarray(rgb).convert("F"))


def test_other_types_are_not_images():
    with pytest.raises(DataError, match=r"not an image.*found float"):
        decode(1.5)
