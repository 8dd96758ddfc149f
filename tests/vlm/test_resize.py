"""open_clip's preprocessing, bit for bit, and settings that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from ke2nt.errors import ModelError
from ke2nt.vlm.resize import ResizeCrop

MEAN, STD = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)


def image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def settings(size, **more):
    return {"size": size, "mean": MEAN, "std": STD, **more}


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(48, 48), (37, 61), (61, 37), (200, 90), (33, 48), (7, 90)])
@pytest.mark.parametrize("size", [48, (48, 48), (40, 56)])
def test_it_is_open_clips_own(mode, interpolation, shape, size):
    given = settings(size, resize_mode=mode, interpolation=interpolation, fill_color=17)
    ours = ResizeCrop.from_settings(size, given, where="here")
    pixels = image(*shape)
    theirs = image_transform_v2(PreprocessCfg(**given), is_train=False)(Image.fromarray(pixels))
    found = ours.normalize(torch.from_numpy(ours.pixels(pixels))[None])[0]
    assert torch.equal(found, theirs)


def test_gray_images_are_turned_to_rgb_as_open_clip_does():
    gray = Image.fromarray(image(50, 70)).convert("L")
    ours = ResizeCrop.from_settings(32, settings(32), where="here")
    theirs = image_transform_v2(PreprocessCfg(**settings(32)), is_train=False)(gray)
    found = ours.normalize(torch.from_numpy(ours.pixels(np.array(gray.convert("RGB"))))[None])[0]
    assert torch.equal(found, theirs)


def test_normalize_leaves_its_argument_alone():
    ours = ResizeCrop.from_settings(8, settings(8), where="here")
    pixels = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    ours.normalize(pixels)
    assert (pixels == 7).all()


def test_what_is_not_given_is_open_clips_default():
    ours = ResizeCrop.from_settings(24, {"mean": MEAN, "std": STD}, where="here")
    default = PreprocessCfg()
    assert (ours.resize_mode, ours.interpolation) == (default.resize_mode, default.interpolation)
    assert (ours.size, ours.fill_color) == ((24, 24), default.fill_color)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mean": MEAN}, "no std"),
        ({"std": STD}, "no mean"),
        ({"mean": (0.5,), "std": STD}, "no mean"),
        (settings(224), r"\(32, 32\).*\(224, 224\)"),
        (settings(32, resize_mode="stretch"), "shortest, squash, longest.*stretch"),
        (settings(32, interpolation="random"), "bicubic, bilinear.*random"),
        (settings(32, mode="L"), "unknown mode"),
        ({"mean": MEAN, "std": (0.2, 0.0, 0.2)}, "must be positive"),
    ],
)
def test_a_preprocessing_that_does_not_fit_is_an_error(given, words):
    with pytest.raises(ModelError, match=words) as caught:
        ResizeCrop.from_settings(32, given, where="open_clip:somewhere")
    assert "open_clip:somewhere" in str(caught.value)
