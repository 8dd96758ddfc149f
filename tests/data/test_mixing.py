"""Mixup and CutMix against their formulas."""

from __future__ import annotations

import pytest
import torch

from ke2nt.config.schema import AugmentConfig
from ke2nt.data.mixing import draw_mixing, mix
from ke2nt.runtime.seeding import torch_generator


@pytest.fixture
def batch():
    """Constant images, image i of value i, of class i."""
    images = torch.arange(8.0).view(-1, 1, 1, 1).expand(8, 3, 20, 20).clone()
    return images, torch.arange(8)


def mixed_as(config, images, labels, classes, seed):
    drawn = draw_mixing(len(images), images.shape[-1], config, torch_generator(seed))
    return mix(images, labels, classes, drawn)


def test_off_draws_nothing():
    assert draw_mixing(8, 20, AugmentConfig(), torch_generator(0)) is None


def test_mixup_weighs_images_and_labels_equally(batch):
    images, labels = batch
    shares = set()
    for seed in range(20):
        mixed, soft = mixed_as(AugmentConfig(mixup=0.4), images, labels, 8, seed)
        assert soft.shape == (8, 8)
        assert torch.allclose(soft.sum(dim=1), torch.ones(8))
        # with class i of value i, an image's value is its label's mean class
        assert torch.allclose(mixed[:, 0, 0, 0], soft @ torch.arange(8.0), atol=1e-5)
        assert torch.equal(mixed, mixed[:, :1, :1, :1].expand_as(mixed))
        shares.add(round(float(soft[0, 0]), 6))
    assert len(shares) > 10


def test_cutmix_labels_count_the_remaining_pixels(batch):
    images, labels = batch
    for seed in range(20):
        mixed, soft = mixed_as(AugmentConfig(cutmix=1.0), images, labels, 8, seed)
        stayed = (mixed == images).float().mean(dim=(1, 2, 3))
        own = soft[torch.arange(8), labels]
        assert torch.allclose(stayed, own, atol=1e-5)
        for image, row in zip(mixed, soft, strict=True):
            values = set(image.unique().tolist())
            assert values == set(row.nonzero().flatten().tolist())


def test_each_batch_takes_one_method_if_both_are_on(batch):
    images, labels = batch
    config = AugmentConfig(mixup=1.0, cutmix=1.0)
    kinds = set()
    for seed in range(20):
        mixed, _ = mixed_as(config, images, labels, 8, seed)
        kinds.add("mixup" if torch.equal(mixed[..., :1, :1].expand_as(mixed), mixed) else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_soft_labels_are_mixed_too(batch):
    images, _ = batch
    labels = torch.rand(8, 5, generator=torch_generator(1)).softmax(dim=1)
    _, soft = mixed_as(AugmentConfig(mixup=1.0), images, labels, 5, 3)
    assert torch.allclose(soft.sum(dim=1), torch.ones(8))
    assert not torch.allclose(soft, labels)
