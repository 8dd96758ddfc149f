"""Arrays, tensors, bytes and open files give the pixels of the image file."""

import io

import numpy as np
import pytest
import torch

from ke2nt.data.images import decode, encode_png, iterate_images
from ke2nt.errors import ImageReadError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = PIXELS[:, :, 0]


@pytest.mark.parametrize(
    "image",
    [
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS / 255).permute(2, 0, 1).requires_grad_(),
        encode_png(PIXELS),
        bytearray(encode_png(PIXELS)),
        io.BytesIO(encode_png(PIXELS)),
    ],
    ids=["float64", "float32", "tensor", "float tensor", "bytes", "bytearray", "file"],
)
def test_every_form_gives_the_same_pixels(image):
    assert (decode(image) == PIXELS).all()


def test_half_precision_is_exact_to_one_level():
    half = torch.from_numpy(PIXELS).permute(2, 0, 1).to(torch.bfloat16) / 255
    assert np.abs(decode(half).astype(int) - PIXELS).max() <= 1
    assert np.abs(decode((PIXELS / 255).astype(np.float16)).astype(int) - PIXELS).max() <= 1


@pytest.mark.parametrize(
    "image", [GRAY / 255, torch.from_numpy(GRAY), torch.from_numpy(GRAY)[None]]
)
def test_gray(image):
    assert (decode(image) == GRAY[:, :, None]).all()


def test_single_images_are_not_iterated():
    content = encode_png(PIXELS)
    for image in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        assert len(list(iterate_images(image))) == 1
    assert len(list(iterate_images(torch.zeros(2, 3, 4, 4)))) == 2


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIXELS.astype(float), "floating pixels from 0 to 2.., not in 0..1; divide by 255"),
        (PIXELS / 255 - 0.5, "floating pixels from -0.5"),
        (np.full((4, 4, 3), np.nan), "nan"),
        (np.full((4, 4), np.inf), "inf"),
        (PIXELS.astype(np.int64), "not uint8 in 0..255 or floating in 0..1"),
        (PIXELS.transpose(2, 0, 1), "channels come last"),
        (np.zeros((4, 4, 2)), "not .H, W, 3."),
        (np.zeros((0, 4)), "empty"),
        (torch.from_numpy(PIXELS), "channels come first"),
        (torch.zeros(2, 3, 4, 4), "a tensor of float32 .2, 3, 4, 4., not .3, H, W."),
        (torch.zeros(4), "not .3, H, W."),
        (b"no image", "content that is not a JPEG"),
        (b"", "an empty file"),
        (io.StringIO("text"), "mode 'rb'"),
    ],
)
def test_wrong_ranges_and_shapes_are_named(image, words):
    with pytest.raises(ImageReadError, match=words):
        decode(image)
