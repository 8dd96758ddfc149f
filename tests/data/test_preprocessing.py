from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.data.images import decode
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import ChangedImage
from ke2nt.errors import ConfigError, DataError, ImageReadError
from ke2nt.runtime.renamed import RenamedWarning

SIDE = 16
PREPROCESSING = Preprocessing(SIDE, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


@pytest.fixture
def expected(pixels):
    """The batch of one that `pixels` give, step by step."""
    resized = decode(pixels, size=SIDE, interpolation="bicubic")
    return PREPROCESSING.normalize(torch.from_numpy(resized.transpose(2, 0, 1).copy())[None])


def test_every_kind_of_image_gives_the_same_input(tmp_path, pixels, expected):
    Image.fromarray(pixels).save(tmp_path / "face.png")
    kinds = [
        pixels,
        Image.fromarray(pixels),
        tmp_path / "face.png",
        str(tmp_path / "face.png"),
        torch.from_numpy(pixels).permute(2, 0, 1),
        ChangedImage(255 - pixels, lambda array: 255 - array),
    ]

    for image in kinds:
        assert torch.equal(PREPROCESSING(image), expected)
    assert torch.equal(PREPROCESSING(kinds), expected.expand(len(kinds), -1, -1, -1))


def test_batches_of_arrays_and_tensors(pixels, expected):
    batch = np.stack([pixels, pixels])
    both = expected.expand(2, -1, -1, -1)
    assert torch.equal(PREPROCESSING(batch), both)
    assert torch.equal(PREPROCESSING(torch.from_numpy(batch).permute(0, 3, 1, 2)), both)
    assert torch.equal(PREPROCESSING(iter(batch)), both)


def test_pixels_of_the_models_size_are_only_normalized():
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(256, (3, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    assert torch.equal(PREPROCESSING(batch), PREPROCESSING.normalize(batch))
    assert torch.equal(PREPROCESSING(batch[0]), PREPROCESSING.normalize(batch[:1]))


def test_gray_arrays_are_repeated(pixels):
    gray = pixels[:, :, 0]
    assert torch.equal(PREPROCESSING(gray), PREPROCESSING(np.repeat(gray[:, :, None], 3, axis=2)))


def test_no_image_gives_an_empty_batch():
    assert PREPROCESSING([]).shape == (0, 3, SIDE, SIDE)


def test_normalize_is_mean_and_deviation():
    batch = torch.full((1, 3, 2, 2), 51.0)
    values = PREPROCESSING.normalize(batch)[0, :, 0, 0]
    torch.testing.assert_close(values, torch.tensor([-1.0, -1.2, -4 / 3]))


def test_gray_is_the_luma_in_every_channel():
    gray = Preprocessing(8, (0.0,) * 3, (1.0,) * 3, gray=True)
    red = torch.tensor([255.0, 0.0, 0.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(gray.normalize(red), torch.full((1, 3, 1, 1), 0.299))


@pytest.mark.parametrize(
    "image",
    [
        7,
        None,
        [object()],
        torch.zeros(3, SIDE, SIDE),
        torch.zeros(SIDE, SIDE, dtype=torch.uint8),
        torch.zeros(4, 1, SIDE, SIDE, dtype=torch.uint8),
    ],
)
def test_other_values_are_refused(image):
    with pytest.raises(DataError, match="not an image"):
        PREPROCESSING(image)


def test_unusable_images_are_image_read_errors(tmp_path):
    with pytest.raises(ImageReadError, match="no such file"):
        PREPROCESSING(tmp_path / "none.png")
    with pytest.raises(ImageReadError, match="divide by 255"):
        PREPROCESSING(np.full((SIDE, SIDE, 3), 7.0))


def test_old_name_of_normalize():
    batch = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    with pytest.warns(RenamedWarning, match="normalize"):
        assert torch.equal(PREPROCESSING.to_input(batch), PREPROCESSING.normalize(batch))


@pytest.mark.parametrize(
    "values", [{"image_size": 4}, {"std": (0.0, 1.0, 1.0)}, {"interpolation": "cubic"}]
)
def test_values_out_of_range(values):
    with pytest.raises(ConfigError):
        Preprocessing(**values)


def test_stored_values_are_read_back():
    assert Preprocessing.from_dict(PREPROCESSING.to_dict()) == PREPROCESSING
    assert Preprocessing.from_dict({"grey": True}) == Preprocessing(gray=True)
