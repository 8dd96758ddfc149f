from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.explain.occlusion import cover_regions
from ke2nt.explain.overlay import tint
from ke2nt.explain.target import log_odds


def test_each_copy_covers_one_region_only():
    crop = np.zeros((28, 28, 3), np.uint8)
    crop[:, 14:] = 200
    copies = cover_regions(crop, 7)
    assert copies.shape == (49, 28, 28, 3)
    for index, copy in enumerate(copies):
        row, column = divmod(index, 7)
        y, x = np.nonzero((copy != crop).any(axis=2))
        assert set(np.unique(copy[y, x])) == {100}
        assert (y.min(), y.max()) == (max(0, 4 * row - 2), min(27, 4 * row + 5))
        assert (x.min(), x.max()) == (max(0, 4 * column - 2), min(27, 4 * column + 5))
    assert (crop[:, 14:] == 200).all()


def test_every_pixel_is_covered_by_some_copy():
    crop = np.random.default_rng(0).integers(0, 2, (30, 30, 3), dtype=np.uint8) * 255
    assert (cover_regions(crop, 7) != crop).any(axis=(0, 3)).all()


def test_log_odds_of_softmax():
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(dim=1)[:, 2]
    torch.testing.assert_close(log_odds(logits, 2), (p / (1 - p)).log())
    torch.testing.assert_close(log_odds(logits[:, :1], 0), logits[:, 0])


def test_log_odds_do_not_saturate():
    logits = torch.tensor([[90.0, 0.0], [60.0, 0.0]])
    assert (logits.softmax(dim=1)[:, 0] == 1).all()
    assert log_odds(logits, 0).tolist() == [90, 60]


@pytest.mark.parametrize(("sign", "channel"), [(1, 0), (-1, 2)])
def test_color_shows_where_the_effect_is(sign, channel):
    effect = torch.zeros(7, 7)
    effect[1, 5] = 3.0 * sign
    gray = np.full((32, 32, 3), 128, np.uint8)
    overlay = tint(gray, effect, size=70).astype(int)
    y, x = np.unravel_index((overlay[..., channel] - 128).argmax(), (70, 70))
    assert abs(y - 15) <= 5
    assert abs(x - 55) <= 5
    assert (overlay[40:, :30] == 128).all()


def test_no_effect_leaves_the_face_unchanged():
    gray = np.full((32, 32, 3), 77, np.uint8)
    assert (tint(gray, torch.zeros(7, 7), size=64) == 77).all()
