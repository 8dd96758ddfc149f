"""open_clip's preprocessing bit for bit, as data, and settings that are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from ke2nt.errors import ModelError
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.image_preprocessing import ImagePreprocessing
from ke2nt.vlm.open_clip import OpenClipModel

MEAN, STD = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)


def random_image(height, width, seed=0):
    """Smooth random pixels, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def settings(size, **more):
    return {"size": size, "mean": MEAN, "std": STD, **more}


def model_without_weights(folder, size, preprocess_cfg):
    """A model whose preprocessing can be used; its weights are an empty file."""
    model_cfg = {"embed_dim": 8, "vision_cfg": {"image_size": size}, "text_cfg": {}}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    return OpenClipModel(str(folder), FileDigests(folder))


def our_input(model, pixels):
    """(3, H, W): decoded pixels through `preprocess` and `normalize`."""
    return model.normalize(torch.from_numpy(model.preprocess(pixels))[None])[0]


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(48, 48), (37, 61), (61, 37), (200, 90), (33, 48), (7, 90)])
@pytest.mark.parametrize("size", [48, (48, 48), (40, 56)])
def test_input_equals_open_clip(tmp_path, mode, interpolation, shape, size):
    chosen = settings(size, resize_mode=mode, interpolation=interpolation, fill_color=17)
    model = model_without_weights(tmp_path, size, chosen)
    pixels = random_image(*shape)
    theirs = image_transform_v2(PreprocessCfg(**chosen), is_train=False)(Image.fromarray(pixels))
    assert torch.equal(our_input(model, pixels), theirs)


def test_gray_images_become_rgb_as_in_open_clip(tmp_path):
    gray = Image.fromarray(random_image(50, 70)).convert("L")
    model = model_without_weights(tmp_path, 32, settings(32))
    theirs = image_transform_v2(PreprocessCfg(**settings(32)), is_train=False)(gray)
    assert torch.equal(our_input(model, np.array(gray.convert("RGB"))), theirs)


def test_normalize_does_not_change_its_argument(tmp_path):
    model = model_without_weights(tmp_path, 8, settings(8))
    pixels = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    model.normalize(pixels)
    assert (pixels == 7).all()


def test_defaults_are_those_of_open_clip():
    ours = ImagePreprocessing.from_open_clip(24, {"mean": MEAN, "std": STD}, where="here")
    default = PreprocessCfg()
    assert (ours.resize_mode, ours.interpolation) == (default.resize_mode, default.interpolation)
    assert (ours.size, ours.fill_color) == ((24, 24), default.fill_color)


@pytest.mark.parametrize(
    ("change", "words"),
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
def test_unsuitable_settings_are_refused(change, words):
    with pytest.raises(ModelError, match=words) as caught:
        ImagePreprocessing.from_open_clip(32, change, where="open_clip:somewhere")
    assert "open_clip:somewhere" in str(caught.value)
