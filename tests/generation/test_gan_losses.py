"""Each loss against a slow oracle, values and gradients, and edge cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ke2nt.generation.losses.adversaries import ADVERSARIES
from ke2nt.generation.losses.code_adversarial import (
    code_critic_loss,
    confusion_loss,
    encoder_loss,
)
from ke2nt.generation.losses.identity import identity_loss
from ke2nt.generation.losses.intra_class import intra_class_loss
from ke2nt.generation.losses.neutral_consistency import neutral_consistency_loss


@pytest.fixture
def double():
    def make(*shape):
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    return make


def relu(x):
    return max(0.0, x)


SCORES = {
    "wgan-gp": (lambda r, f: f - r, lambda f: -f),
    "hinge": (lambda r, f: relu(1 - r) + relu(1 + f), lambda f: -f),
    "r1": (
        lambda r, f: math.log1p(math.exp(-r)) + math.log1p(math.exp(f)),
        lambda f: math.log1p(math.exp(-f)),
    ),
}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_scores_of_both_sides(name, double):
    kind, (critic, generator) = ADVERSARIES[name](10.0), SCORES[name]
    real, fake = double(6), double(6) * 1.5
    slow = sum(critic(r, f) for r, f in zip(real.tolist(), fake.tolist(), strict=True)) / 6
    assert kind.critic(real, fake).item() == pytest.approx(slow)
    assert kind.generator(fake).item() == pytest.approx(sum(map(generator, fake.tolist())) / 6)
    assert torch.autograd.gradcheck(kind.critic, (double(6), double(7)))
    assert torch.autograd.gradcheck(kind.generator, (double(7),))


def critic(images):
    """Scores with a known gradient: that of Σ w x² + x is 2 w x + 1."""
    weights = torch.arange(1, 5, dtype=images.dtype).view(1, 1, 2, 2)
    return (weights * images.square() + images).sum(dim=(1, 2, 3))


def slope(image):
    return [2 * (i + 1) * x + 1 for i, x in enumerate(image.flatten().tolist())]


def test_gradient_penalty_matches_the_paper(double):
    real, fake = double(3, 1, 2, 2), double(3, 1, 2, 2) + 1
    penalty = ADVERSARIES["wgan-gp"](7.0).penalty(
        critic, real, fake, torch.Generator().manual_seed(0)
    )
    shares = torch.rand((3, 1, 1, 1), generator=torch.Generator().manual_seed(0)).flatten()
    slow = 0.0
    for r, f, share in zip(real, fake, shares, strict=True):
        between = f + share * (r - f)
        norm = math.sqrt(sum(s * s for s in slope(between)))
        slow += 7.0 * (norm - 1) ** 2 / 3
    assert penalty.item() == pytest.approx(slow)


def test_r1_is_half_gamma_times_the_squared_gradient_at_real_images(double):
    real, fake = double(3, 1, 2, 2), double(3, 1, 2, 2)
    penalty = ADVERSARIES["r1"](7.0).penalty(critic, real, fake, torch.Generator())
    slow = sum(3.5 * s * s for image in real for s in slope(image)) / 3
    assert penalty.item() == pytest.approx(slow)


@pytest.mark.parametrize("name", ["wgan-gp", "r1"])
def test_penalty_trains_the_critic_and_not_the_images(name, double):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 1)).double()
    real, fake = double(3, 1, 2, 2), double(3, 1, 2, 2)
    ADVERSARIES[name](1.0).penalty(
        lambda x: net(x).squeeze(1), real, fake, torch.Generator().manual_seed(0)
    ).backward()
    assert real.grad is None
    assert fake.grad is None
    assert net[1].weight.grad.abs().sum() > 0


def test_hinge_has_no_penalty(double):
    images = double(3, 1, 2, 2)
    assert ADVERSARIES["hinge"](10.0).penalty(critic, images, images, torch.Generator()).item() == 0
    assert [name for name in ADVERSARIES if ADVERSARIES[name](1.0).spectral_norm] == ["hinge"]


def test_code_critic_loss(double):
    prior, encoded = double(4), double(5)
    loss = code_critic_loss(prior, encoded)
    slow = 0.5 * sum(math.log1p(math.exp(-p)) for p in prior.tolist()) / 4
    slow += 0.5 * sum(math.log1p(math.exp(e)) for e in encoded.tolist()) / 5
    assert loss.item() == pytest.approx(slow)
    loss.backward()
    assert (prior.grad < 0).all()
    assert (encoded.grad > 0).all()
    assert torch.autograd.gradcheck(code_critic_loss, (double(4), double(5)))


def test_encoder_loss(double):
    encoded = double(5)
    slow = sum(math.log1p(math.exp(-e)) for e in encoded.tolist()) / 5
    assert encoder_loss(encoded).item() == pytest.approx(slow)
    assert torch.autograd.gradcheck(encoder_loss, (double(5),))


def test_confusion_loss(double):
    assert confusion_loss(torch.full((3, 4), 2.0)).item() == pytest.approx(0.0, abs=1e-6)
    logits = double(3, 4)
    slow = 0.0
    for row in logits.tolist():
        total = sum(math.exp(v) for v in row)
        slow += sum(0.25 * (math.log(0.25) - math.log(math.exp(v) / total)) for v in row) / 3
    assert confusion_loss(logits).item() == pytest.approx(slow)
    assert torch.autograd.gradcheck(confusion_loss, (double(3, 4),))


def test_identity_loss_trains_the_edit_and_not_the_source(double):
    source, edited = double(3, 4), double(3, 5)[:, :4]
    edited.retain_grad()
    loss = identity_loss(source, edited)
    pairs = zip(source.flatten().tolist(), edited.flatten().tolist(), strict=True)
    assert loss.item() == pytest.approx(sum(abs(s - e) for s, e in pairs) / 12)
    loss.backward()
    assert source.grad is None
    assert edited.grad.abs().sum() > 0


def unit(row):
    norm = math.sqrt(sum(v * v for v in row))
    return [v / norm for v in row]


def apart(a, b):
    return sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True))


def slow_intra_class(real, labels, made, requested):
    real, made = real.tolist(), made.tolist()
    near = [
        apart(real[i], real[j])
        for i in range(len(real))
        for j in range(i + 1, len(real))
        if labels[i] == labels[j]
    ]
    across = [
        apart(m, r)
        for m, w in zip(made, requested, strict=True)
        for r, y in zip(real, labels, strict=True)
        if w == y
    ]
    return sum(sum(distances) / len(distances) for distances in (near, across) if distances)


LABELS, REQUESTED = [0, 1, 0, 2, 1, 0], [0, 2, 2, 3]


@pytest.mark.parametrize("rdbp", [True, False])
def test_intra_class_loss_is_the_mean_over_pairs_of_one_class(rdbp, double):
    real, made = double(6, 5), double(4, 5)
    loss = intra_class_loss(real, torch.tensor(LABELS), made, torch.tensor(REQUESTED), rdbp=rdbp)
    assert loss.item() == pytest.approx(slow_intra_class(real, LABELS, made, REQUESTED))


def test_gradcheck_without_rdbp(double):
    def loss(real, made):
        return intra_class_loss(
            real, torch.tensor(LABELS), made, torch.tensor(REQUESTED), rdbp=False
        )

    assert torch.autograd.gradcheck(loss, (double(6, 5), double(4, 5)))


def test_rdbp_moves_only_synthetic_features(double):
    """Synthetic features get the same gradient; real ones only that of their own pairs."""
    grads = {}
    for rdbp in (True, False):
        real, made = double(6, 5), double(4, 5)
        intra_class_loss(
            real, torch.tensor(LABELS), made, torch.tensor(REQUESTED), rdbp=rdbp
        ).backward()
        grads[rdbp] = real.grad, made.grad
    torch.testing.assert_close(grads[True][1], grads[False][1])
    assert not torch.allclose(grads[True][0], grads[False][0])
    real = double(6, 5)
    no_faces = torch.zeros(0, 5, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    intra_class_loss(real, torch.tensor(LABELS), *no_faces).backward()
    torch.testing.assert_close(grads[True][0], real.grad)


def test_no_pair_gives_zero_and_back_propagates(double):
    real, made = double(3, 4), double(2, 4)
    loss = intra_class_loss(real, torch.tensor([0, 1, 2]), made, torch.tensor([3, 4]))
    assert loss.item() == 0
    loss.backward()
    assert real.grad.abs().sum() == 0
    assert made.grad.abs().sum() == 0


def test_neutral_consistency(double):
    edited, neutral = double(4, 5), double(4, 6)[:, :5]
    mask = torch.tensor([True, False, True, True])
    slow = sum(
        apart(e, n) / 2
        for e, n, c in zip(edited.tolist(), neutral.tolist(), mask.tolist(), strict=True)
        if c
    )
    assert neutral_consistency_loss(edited, neutral, mask).item() == pytest.approx(slow / 3)
    assert torch.autograd.gradcheck(
        lambda e, n: neutral_consistency_loss(e, n, mask), (double(4, 5), double(4, 5) + 1)
    )
    none = neutral_consistency_loss(edited, neutral, torch.zeros(4, dtype=torch.bool))
    assert none.item() == 0
