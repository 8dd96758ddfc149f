"""Batch augmentation: what each option does, to which samples, and that it can be made again."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import transforms
from torchvision.transforms import functional

from ke2nt.config.schema import AugmentConfig
from ke2nt.data import augmentation
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.device_constants import device_constant
from ke2nt.runtime.seeding import torch_generator

NOTHING = {"flip": 0.0, "crop": 0.0, "erase": 0.0}


def batch(count=8, side=16):
    return torch.randint(0, 256, (count, 3, side, side), generator=torch_generator("x")).byte()


def augment(pixels, seed=0, **options):
    config = AugmentConfig(**{**NOTHING, **options})
    return BatchAugmentation(config, (1.0, 2.0, 3.0))(pixels, torch_generator(seed))


def test_pixels_are_unchanged_with_everything_off():
    pixels = batch()
    assert torch.equal(augment(pixels), pixels.float())


def test_images_depend_on_the_generator_only():
    pixels = batch()
    options = {"flip": 0.5, "rotate": 20, "scale": 0.2, "erase": 0.5, "brightness": 0.3}
    assert torch.equal(augment(pixels, 1, **options), augment(pixels, 1, **options))
    assert not torch.equal(augment(pixels, 1, **options), augment(pixels, 2, **options))


def test_flip_mirrors_about_the_requested_share_of_samples():
    pixels = batch(400, 4)
    out = augment(pixels, flip=0.25)
    same = (out == pixels.float()).flatten(1).all(dim=1)
    mirrored = (out == pixels.float().flip(-1)).flatten(1).all(dim=1)
    assert bool((same | mirrored).all())
    assert 0.15 < mirrored.float().mean() < 0.35


def test_resampled_flip_is_the_same_mirror():
    pixels = batch()
    # rotate > 0 takes the affine path; an angle of zero leaves only the mirror
    out = augment(pixels, flip=1.0, rotate=1e-6)
    assert torch.allclose(out, pixels.float().flip(-1), atol=0.05)


def test_padded_crop_shifts_by_whole_pixels_and_fills_with_zeros():
    pixels = batch(64).clamp(min=1)
    out = augment(pixels, crop=1.0, crop_padding=2)
    shifts = set()
    for image, source in zip(out, pixels.float(), strict=True):
        padded = torch.nn.functional.pad(source, (2, 2, 2, 2))
        found = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if torch.allclose(padded[:, dy : dy + 16, dx : dx + 16], image, atol=0.02)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 15  # all 25 places are possible


def test_rotation_keeps_the_center_and_moves_the_rim():
    pixels = torch.zeros(16, 3, 17, 17)
    pixels[..., 8, 8] = 100.0
    pixels[..., 0, 8] = 100.0
    out = augment(pixels, rotate=45)
    assert torch.allclose(out[:, :, 8, 8], torch.tensor(100.0), atol=0.1)
    assert out[:, 0, 0, 8].std() > 5


def test_erasing_fills_one_rectangle_within_the_area_range():
    pixels = torch.full((200, 3, 20, 20), 90, dtype=torch.uint8)
    out = augment(pixels, erase=1.0, erase_area=(0.05, 0.2))
    gone = (out == torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)).all(dim=1)

    assert bool(((out == 90).all(dim=1) | gone).all())

    share = gone.flatten(1).float().mean(dim=1)
    assert 0.03 < share.min() < 0.09
    assert 0.15 < share.max() < 0.25

    for mask in gone[:20]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert int(mask.sum()) == int(rows.sum()) * int(columns.sum())  # a rectangle
    assert bool((augment(pixels, erase=0.0) == 90).all())


def test_brightness_and_contrast_stay_in_range_and_differ_by_sample():
    pixels = batch(32)
    out = augment(pixels, brightness=0.5, contrast=0.5)

    assert out.min() >= 0
    assert out.max() <= 255

    ratio = out.mean(dim=(1, 2, 3)) / pixels.float().mean(dim=(1, 2, 3))
    assert 0.4 < ratio.min() < 0.9
    assert 1.1 < ratio.max() < 1.6


SMOOTH = transforms.InterpolationMode.BILINEAR


def blob_figures(images):
    """(N, 7): mean, spread, centroid and second moments of a bright blob in each image."""
    gray = images.float().mean(dim=1)
    line = torch.arange(gray.shape[-1], dtype=torch.float32)
    weight = (gray / gray.sum(dim=(1, 2), keepdim=True)).double()
    y, x = (weight.sum(dim=2) * line).sum(dim=1), (weight.sum(dim=1) * line).sum(dim=1)
    dy, dx = line[None] - y[:, None], line[None] - x[:, None]
    yy = (weight.sum(dim=2) * dy**2).sum(dim=1)
    xx = (weight.sum(dim=1) * dx**2).sum(dim=1)
    xy = torch.einsum("nyx,ny,nx->n", weight, dy, dx)
    flat = gray.flatten(1)
    return torch.stack([flat.mean(dim=1), flat.std(dim=1), y, x, yy, xx, xy], dim=1)


def erased_figures(images):
    """(N, 3): share that is erased, and height and width of the rectangle."""
    gone = (images <= 3).all(dim=1)
    rows, columns = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    return torch.stack([gone.flatten(1).float().mean(dim=1), rows, columns], dim=1)


def zoomed(image):
    """What is seen is 0.7 to 1.3 times the image's side, so that the image is made 1/that."""
    side = 0.7 + 0.6 * float(torch.rand(()))
    return functional.affine(image, 0.0, [0, 0], 1 / side, [0.0], interpolation=SMOOTH)


ASPECT = (1 / augmentation._MAX_ASPECT, augmentation._MAX_ASPECT)
ONE_BY_ONE = {
    "flip": ({"flip": 0.3}, transforms.RandomHorizontalFlip(0.3), blob_figures),
    "crop": (
        {"crop": 0.5, "crop_padding": 4},
        transforms.RandomApply([transforms.RandomCrop(32, padding=4)], p=0.5),
        blob_figures,
    ),
    "rotate": ({"rotate": 30}, transforms.RandomAffine(30, interpolation=SMOOTH), blob_figures),
    "scale": ({"scale": 0.3}, zoomed, blob_figures),
    "translate": (
        {"translate": 0.1},
        transforms.RandomAffine(0, translate=(0.1, 0.1), interpolation=SMOOTH),
        blob_figures,
    ),
    "brightness": ({"brightness": 0.4}, transforms.ColorJitter(brightness=0.4), blob_figures),
    "contrast": ({"contrast": 0.4}, transforms.ColorJitter(contrast=0.4), blob_figures),
    "erase": (
        {"erase": 0.7, "erase_area": (0.05, 0.2)},
        transforms.RandomErasing(0.7, scale=(0.05, 0.2), ratio=ASPECT),
        erased_figures,
    ),
}


@pytest.mark.parametrize("option", ONE_BY_ONE)
def test_batches_match_torchvision_image_by_image(option):
    """Over 1,500 images means agree within four standard errors, spreads within a tenth.

    A fiftieth more is for rounding and for the interpolation, which differ by a little.
    """
    options, one_by_one, figures = ONE_BY_ONE[option]
    line = torch.arange(32.0)
    blob = torch.exp(-((line[:, None] - 13) ** 2) / 40 - (line[None] - 19) ** 2 / 12)
    image = (30 + 140 * blob).byte().expand(3, 32, 32)
    count = 1500
    ours = figures(augment(image.expand(count, -1, -1, -1), **options)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        single = [one_by_one(image.float() / 255) * 255 for _ in range(count)]
    theirs = figures(torch.stack(single)).double()
    mean, spread = theirs.mean(dim=0), theirs.std(dim=0)
    error = spread * (2 / count) ** 0.5

    assert spread.max() > 0.01  # it does something
    assert bool(((ours.mean(dim=0) - mean).abs() < 4 * error + 0.02 * mean.abs()).all())
    assert bool(((ours.std(dim=0) - spread).abs() < 0.1 * spread + 0.02).all())


def test_options_do_not_reseed_each_other():
    pixels = batch(64)
    with_flip = augment(pixels, flip=0.5)
    flipped = (with_flip != pixels.float()).flatten(1).any(dim=1)
    erased = augment(pixels, flip=0.5, erase=1.0)
    kept = (erased == pixels.float()).flatten(1).float().mean(dim=1)
    assert torch.equal(flipped, kept < 0.5)


@pytest.mark.parametrize("fill", ["zeros", "border", "reflection"])
def test_fill_outside_the_image(fill):
    pixels = torch.full((8, 3, 16, 16), 77, dtype=torch.uint8)
    out = augment(pixels, translate=0.5, fill=fill)
    assert bool((out < 1).any()) == (fill == "zeros")


def test_constants_of_a_traced_model_are_not_cached():
    values = (0.25, 0.5, 17.0)
    with FakeTensorMode():
        assert type(device_constant(values, torch.zeros(1))) is not torch.Tensor
    found = device_constant(values, torch.zeros(1))
    assert found.tolist() == list(values)
    assert device_constant(values, torch.zeros(1)) is found
