"""The margin-sensitive loss against slow loops, and at its edges."""

from __future__ import annotations

import pytest
import torch
from adapt_oracles import margin_loss, slope

from ke2nt import adapt
from ke2nt.adapt.margin_loss import MarginSensitiveLoss, build_text_centers, compute_spread
from ke2nt.errors import ConfigError, ModelError
from ke2nt.runtime.seeding import torch_generator


def case(classes=4, dim=3, margin=5.0, domain_weight=0.7, batch=(6, 5), scale=1.0):
    generator = torch.Generator().manual_seed(1)
    loss = MarginSensitiveLoss(classes, dim, margin, domain_weight).double()
    for centers in (loss.source_centers, loss.target_centers):
        centers.data.copy_(scale * torch.randn(classes, dim, generator=generator))
    features = [torch.randn(n, dim, generator=generator).double() for n in batch]
    labels = [torch.randint(classes, (n,), generator=generator) for n in batch]
    return loss, [features[0], labels[0], features[1], labels[1]]


def plain(loss, inputs):
    values = [x.tolist() for x in inputs]
    centers = [loss.source_centers.tolist(), loss.target_centers.tolist()]
    return [*values, *centers, loss.margin, loss.domain_weight]


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])  # both hinges on, …, both off
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_value_matches_the_formula(scale, classes):
    loss, inputs = case(classes=classes, scale=scale)
    assert loss(*inputs).item() == pytest.approx(margin_loss(*plain(loss, inputs)), rel=1e-9)


def test_margin_applies_only_to_near_centers():
    near, _ = case(scale=0.1)
    far, _ = case(scale=10.0)
    assert compute_spread(near.source_centers) < near.margin < compute_spread(far.source_centers)


@pytest.mark.parametrize("scale", [0.3, 4.0])
@pytest.mark.parametrize("place", [0, 2, 4, 5])  # features of either domain, centers of either
def test_gradient_matches_the_formula(scale, place):
    loss, inputs = case(scale=scale)
    leaves = {0: inputs[0], 2: inputs[2], 4: loss.source_centers, 5: loss.target_centers}
    leaf = leaves[place].requires_grad_()
    loss(*inputs).backward()
    arguments = plain(loss, [x.detach() for x in inputs])

    def at(rows):
        return margin_loss(*arguments[:place], rows, *arguments[place + 1 :])

    torch.testing.assert_close(
        leaf.grad, torch.tensor(slope(at, arguments[place])).double(), atol=1e-5, rtol=1e-5
    )


def test_gradcheck():
    loss, (f, y, g, z) = case()
    weights = torch.rand(len(g)).double()

    def call(f, g, cs, ct):
        loss.source_centers, loss.target_centers = cs, ct
        return loss(f, y, g, z, weights)

    centers = [loss.source_centers.detach(), loss.target_centers.detach()]
    del loss.source_centers, loss.target_centers
    leaves = [x.clone().requires_grad_() for x in (f, g, *centers)]
    assert torch.autograd.gradcheck(call, leaves)


def test_weights_exclude_target_images_but_keep_the_batch_size():
    loss, inputs = case()
    target, labels = inputs[2], inputs[3]
    half = torch.tensor([1.0, 0, 1, 0, 1]).double()
    distances = 0.5 * (target - loss.target_centers[labels]).square().sum(dim=1)
    less = loss(*inputs) - loss(*inputs, half)
    assert less.item() == pytest.approx((distances * (1 - half)).sum().item() / 5, rel=1e-9)
    assert loss(*inputs, torch.ones(5)).item() == pytest.approx(loss(*inputs).item())


def test_centers_of_the_domains_start_as_independent_standard_normals():
    first, again, other = (
        MarginSensitiveLoss(7, 16, generator=torch_generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.source_centers, again.source_centers)
    assert not torch.equal(first.source_centers, other.source_centers)
    loss = first
    assert (loss.margin, loss.domain_weight) == (100, 0.01)
    assert {n: tuple(p.shape) for n, p in loss.named_parameters()} == {
        "source_centers": (7, 16),
        "target_centers": (7, 16),
    }
    large = MarginSensitiveLoss(50, 400, generator=torch_generator(1))
    source, target = large.source_centers.flatten(), large.target_centers.flatten()
    assert source.std().item() == pytest.approx(1, abs=0.02)
    assert target.std().item() == pytest.approx(1, abs=0.02)
    assert torch.corrcoef(torch.stack([source, target]))[0, 1].abs() < 0.03


def test_values_worked_out_by_hand():
    loss = MarginSensitiveLoss(2, 2, margin=10.0, domain_weight=0.5)
    loss.source_centers.data = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    loss.target_centers.data = torch.tensor([[0.0, 1.0], [6.0, 1.0]])
    features = torch.tensor([[1.0, 0.0]], requires_grad=True)
    value = loss(features, torch.tensor([1]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]))

    # ½ · 1 + ½ · 1, hinges 10 − 4/2 and 10 − 36/2 < 0, ½ · ½ (1 + 17)
    assert value.item() == pytest.approx(0.5 + 0.5 + 8.0 + 0.0 + 4.5)
    value.backward()
    assert torch.equal(features.grad, torch.tensor([[-1.0, 0.0]]))
    # pull 1, hinge −(c_1 − c_0), gap λ_1 (2 / K) (c^s − c^t) with (−4, −1)
    assert torch.equal(loss.source_centers.grad[1], torch.tensor([1.0 - 2.0 - 2.0, -0.5]))
    # the target's hinge is off
    assert torch.equal(loss.target_centers.grad[1], torch.tensor([2.0, 0.5]))


def test_loss_loads_from_the_room():
    assert adapt.MarginSensitiveLoss is MarginSensitiveLoss


def test_text_centers_have_the_margin_and_the_directions_of_the_texts():
    text = torch.nn.functional.normalize(torch.randn(5, 12).double() + 3)
    centers = build_text_centers(text, 100.0)
    assert compute_spread(centers).item() == pytest.approx(100)
    cosine = torch.nn.functional.cosine_similarity(centers, text - text.mean(dim=0))
    torch.testing.assert_close(cosine, torch.ones(5).double())


def test_invalid_inputs_raise_clear_errors():
    loss, (f, y, g, z) = case()
    with pytest.raises(ModelError, match="width of the class centers"):
        loss(f[:, :2], y, g, z)
    with pytest.raises(ModelError, match="out of range"):
        loss(f, y + 4, g, z)
    with pytest.raises(ModelError, match="batch is empty"):
        loss(f, y, g[:0], z[:0])
    for wrong in ((0, 3), (3, 0), (3, 3, -1.0), (3, 3, 1.0, -1.0)):
        with pytest.raises(ConfigError):
            MarginSensitiveLoss(*wrong)
