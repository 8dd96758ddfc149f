"""Training images degraded at random resolutions."""

import numpy as np
import torch

from ke2nt.data.corruption import KINDS, Corruption
from ke2nt.data.degradation import SMALLEST_SIDE, degrade


def faces(count: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand((count, 1, 8, 8), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (255 * smooth).byte().expand(-1, 3, -1, -1).contiguous()


def test_never_changes_an_image_with_probability_0_and_every_one_with_1():
    images = faces(12, 48)
    assert torch.equal(degrade(images, 0.0, seed=1), images)

    degraded = degrade(images, 1.0, seed=1)
    assert degraded.shape == images.shape
    assert degraded.dtype == torch.uint8
    assert all((a != b).any() for a, b in zip(degraded, images, strict=True))


def test_leaves_the_input_alone_and_is_a_function_of_the_seed():
    images = faces(8, 48)
    before = images.clone()
    first = degrade(images, 0.5, seed=7)
    assert torch.equal(images, before)
    assert torch.equal(first, degrade(images, 0.5, seed=7))
    assert not torch.equal(first, degrade(images, 0.5, seed=8))


def test_each_process_degrades_its_rows_as_one_process_does():
    images = faces(8, 48)
    together = degrade(images, 0.7, seed=3)
    for rank in range(2):
        rows = slice(rank, None, 2)
        assert torch.equal(degrade(images[rows], 0.7, 3, rows), together[rows])


def test_small_images_are_corrupted_at_their_size():
    # at the smallest side the resolution cannot vary, so the result is a corruption of the image
    images = faces(6, SMALLEST_SIDE)
    degraded = degrade(images, 1.0, seed=2)

    rng = np.random.default_rng(2)
    rng.random(6)
    kinds, severities = rng.integers(len(KINDS), size=6), rng.integers(1, 6, size=6)
    rng.uniform(size=6)
    seeds = rng.integers(2**62, size=6)
    for row, image in enumerate(images):
        corruption = Corruption(KINDS[kinds[row]], int(severities[row]), int(seeds[row]))
        expected = corruption(image.permute(1, 2, 0).numpy())
        assert np.array_equal(degraded[row].permute(1, 2, 0).numpy(), expected)


def test_gray_images_stay_gray():
    degraded = degrade(faces(10, 64), 1.0, seed=4)
    assert (degraded == degraded[:, :1]).all()
