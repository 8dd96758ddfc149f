"""Detection of collapse and divergence; FID and KID against slow oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from ke2nt.config.gan import GuardConfig
from ke2nt.errors import DataError
from ke2nt.generation.distances import frechet_distance, kernel_distance
from ke2nt.generation.guard import Guard, compute_diversity, compute_diversity_ratio
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.schedules import linear_ramp

GOOD, BAD = (0.5, 1.0), (0.01, 1.0)


def check_epochs(guard, *epochs):
    return [guard.check_epoch(i + 1, *values) for i, values in enumerate(epochs)]


def test_collapse_is_reported_after_patience_epochs():
    guard = Guard(GuardConfig(patience=2, grace=0))
    problems = check_epochs(guard, BAD, GOOD, BAD, BAD, BAD)
    assert [bool(f) for f in problems] == [False, False, False, True, True]
    assert problems[3].startswith("mode collapse")


@pytest.mark.parametrize("gap", [900.0, -900.0, float("nan")])
def test_divergence_is_reported(gap):
    problems = check_epochs(Guard(GuardConfig(patience=1, grace=0)), (0.5, gap))
    assert problems[0].startswith("divergence")


def test_grace_epochs_are_not_checked():
    guard = Guard(GuardConfig(patience=1, grace=2))
    assert [bool(f) for f in check_epochs(guard, BAD, BAD, BAD)] == [False, False, True]


def test_guard_state_is_part_of_a_checkpoint():
    guard = Guard(GuardConfig(patience=2, grace=0))
    check_epochs(guard, BAD)
    guard.rollbacks.fill_(2)
    other = Guard(GuardConfig(patience=2, grace=0))
    other.load_state_dict(guard.state_dict())
    assert other.lr_factor == 0.25
    assert check_epochs(other, BAD)[0]


def test_diversity_is_the_mean_over_pairs():
    images = torch.randn(4, 1, 2, 2)
    slow = [(images[i] - images[j]).abs().mean() for i in range(4) for j in range(4) if i != j]
    assert compute_diversity(images) == pytest.approx(float(sum(slow) / 12), rel=1e-5)
    assert compute_diversity(images[:1].expand(4, -1, -1, -1)) == 0


def test_collapsed_generator_has_no_diversity():
    torch.manual_seed(0)
    made = FaceGenerator(("a", "b"), 16, 1, width=4, code_dim=8).eval()
    real = torch.randn(6, 1, 16, 16)
    draws = torch.Generator
    whole = compute_diversity_ratio(made, real, draws().manual_seed(0))
    assert whole > 0
    assert compute_diversity_ratio(made, 2 * real, draws().manual_seed(0)) == pytest.approx(
        whole / 2
    )
    with torch.no_grad():
        made.decoder.start.weight[:, :8] = 0  # ignore the codes
    assert compute_diversity_ratio(made, real, draws().manual_seed(0)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 50, 5), (6, 7, 12)])
def test_fid_matches_the_frechet_distance(n, m, d):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.5 + 0.3
    cov = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(cov[0] @ cov[1] + 1e-12 * np.eye(d)).real
    slow = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov[0] + cov[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(slow, abs=1e-3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kid_matches_the_unbiased_mmd():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)) + 1

    def k(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / 3 + 1) ** 3

    within = sum(
        k(s[i], s[j]) / (len(s) * (len(s) - 1))
        for s in (a, b)
        for i in range(len(s))
        for j in range(len(s))
        if i != j
    )
    across = sum(k(x, y) for x in a for y in b) / 20
    assert kernel_distance(a, b) == pytest.approx(within - 2 * across)


def test_single_image_has_no_distance():
    with pytest.raises(DataError, match="too few images"):
        frechet_distance(np.zeros((1, 3)), np.zeros((4, 3)))


def test_linear_ramp():
    assert [linear_ramp(p, 0.2, 0.4) for p in (0.1, 0.2, 0.4, 0.6, 1.0)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    assert [linear_ramp(p, 0.5, 0.0) for p in (0.4, 0.5)] == [0.0, 1.0]
