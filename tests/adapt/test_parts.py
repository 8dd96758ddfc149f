"""Discriminators, moment matching and pseudo-labels: values, gradients, effect of strength."""

from __future__ import annotations

import math

import pytest
import torch
from adapt_oracles import coral as slow_coral
from adapt_oracles import mmd as slow_mmd
from adapt_oracles import slope

from ke2nt.adapt.adversarial import ConditionalPart, DomainDiscriminator, reverse_gradient
from ke2nt.adapt.domain_batch import DomainBatch, PseudoLabels
from ke2nt.adapt.methods import METHODS, PARTS, resolve_part_weights
from ke2nt.adapt.moment_matching import coral, mmd
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.part import PartContext
from ke2nt.adapt.pseudo_labels import PseudoLabeler
from ke2nt.adapt.ramp import compute_ramp, compute_reversal
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptSection
from ke2nt.errors import ConfigError
from ke2nt.losses.numerics import squared_distances
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.output import KE2NTOutput

K, D = 4, 6


def rows(n, width=D, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)).double()


def batch(weights=None, bank=None, seed=0):
    outputs = [
        KE2NTOutput(*(rows(n, w, seed + i).requires_grad_() for i, w in enumerate((K, D, D))))
        for n in (7, 5)
    ]
    labels = torch.tensor([0, 1, 2, 3, 1, 1, 0])
    pseudo = outputs[1].logits.argmax(dim=1)
    weights = torch.ones(5).double() if weights is None else weights
    return DomainBatch(outputs[0], labels, outputs[1], PseudoLabels(pseudo, weights), bank)


def bank():
    return TextBank.from_tensors(
        rows(K), classes=["neutral", "a", "b", "c"], neutral_index=0, logit_scale=10.0
    )


def context(bank=None):
    weights = None if bank is not None else (1, 0, 0)
    return PartContext(K, D, bank, KE2NTLoss(weights), seed=3)


@pytest.mark.parametrize(("fast", "slow"), [(coral, slow_coral), (mmd, slow_mmd)])
def test_coral_and_mmd_match_the_formulas(fast, slow):
    a, b = rows(6), 2 * rows(5, seed=1) + 1
    assert fast(a, b).item() == pytest.approx(slow(a.tolist(), b.tolist()), rel=1e-9)
    assert fast(a, a).item() == pytest.approx(0, abs=1e-12)
    assert fast(a, b).item() == pytest.approx(fast(b, a).item())


def test_squared_distances_far_from_the_origin():
    a, b = (x.float() + 1000 for x in (rows(6), rows(5, seed=1)))
    slow = (a[:, None].double() - b[None].double()).square().sum(dim=2).float()
    torch.testing.assert_close(squared_distances(a, b), slow, atol=1e-3, rtol=1e-4)
    assert (squared_distances(a, a) >= 0).all()


def test_gradients_of_coral_and_mmd():
    a, b = rows(4, 3).requires_grad_(), 2 * rows(5, 3, seed=1)
    assert torch.autograd.gradcheck(lambda a: coral(a, b), [a])
    coral(a, b).backward()
    expected = slope(lambda x: slow_coral(x, b.tolist()), a.tolist())
    torch.testing.assert_close(a.grad, torch.tensor(expected).double(), atol=1e-6, rtol=1e-5)
    # the kernel width has no gradient, so the gradient is that of the kernel means alone
    width = (torch.cat([a, b])[:, None] - torch.cat([a, b])[None]).square().sum(dim=2).mean().item()

    def fixed(x):
        def kernel(p, q):
            s = sum((u - v) ** 2 for u, v in zip(p, q, strict=True))
            return sum(math.exp(-s / (w * width)) for w in (0.25, 0.5, 1, 2, 4)) / 5

        other = b.tolist()
        own = sum(kernel(p, q) for p in x for q in x) / len(x) ** 2
        return own - 2 * sum(kernel(p, q) for p in x for q in other) / (len(x) * len(other))

    a.grad = None
    mmd(a, b).backward()
    expected = slope(fixed, a.tolist())
    torch.testing.assert_close(a.grad, torch.tensor(expected).double(), atol=1e-6, rtol=1e-5)


def test_single_row_has_no_covariance():
    assert coral(rows(1), rows(4)).item() == 0


def test_gradient_reversal():
    x = rows(3).requires_grad_()
    y = reverse_gradient(x, 0.3)
    assert torch.equal(x, y)
    (y * y).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * 2 * x.detach())


def test_discriminator_learns_at_full_strength_and_features_get_the_reversed_gradient():
    net = DomainDiscriminator(D, hidden=8).double().eval()
    a, b = rows(3), rows(4, seed=1)

    def gradients(strength):
        net.zero_grad()
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        loss = net.loss(x, y, strength)
        loss.backward()
        return loss.item(), x.grad, y.grad, net[0].weight.grad.clone()

    value, x, y, weight = gradients(1.0)
    logits = [net(r).squeeze(1).tolist() for r in (a, b)]
    slow = [
        sum(math.log1p(math.exp(-z)) for z in logits[0]) / 3,
        sum(math.log1p(math.exp(z)) for z in logits[1]) / 4,
    ]
    assert value == pytest.approx(sum(slow) / 2)
    same, x0, y0, weight0 = gradients(0.25)
    assert same == value
    torch.testing.assert_close(weight0, weight)
    torch.testing.assert_close(x0, 0.25 * x)
    torch.testing.assert_close(y0, 0.25 * y)
    # a step of the features along −gradient makes the domains harder to tell apart
    assert net.loss(a - 0.1 * x, b - 0.1 * y, 1.0).item() > value


def test_discriminator_has_the_published_layers():
    shapes = [tuple(p.shape) for p in DomainDiscriminator(384).parameters()]
    assert shapes == [(512, 384), (512,), (512, 512), (512,), (1, 512), (1,)]
    drops = [m.p for m in DomainDiscriminator(384) if isinstance(m, torch.nn.Dropout)]
    assert drops == [0.5, 0.5]


def test_cdan_joins_embeddings_and_probabilities():
    f, p = rows(3), rows(3, K).softmax(dim=1)
    small = ConditionalPart(AdaptSection(), context())
    joined = small.join(f, p)
    for i in range(3):
        for k in range(K):
            for d in range(D):
                assert joined[i, k * D + d].item() == pytest.approx((p[i, k] * f[i, d]).item())
    wide = ConditionalPart(AdaptSection(), context(), width=5).double()
    rf, rp = wide.project_features, wide.project_classes
    slow = [
        [(f[i] @ rf[:, j]) * (p[i] @ rp[:, j]) / math.sqrt(5) for j in range(5)] for i in range(3)
    ]
    torch.testing.assert_close(wide.join(f, p), torch.tensor(slow).double())
    assert wide.state_dict().keys() >= {"project_features", "project_classes"}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_the_same_signature_and_strength_scales_its_gradient(name):
    text = bank()
    config = AdaptSection(method="source", weights={name: 1.0})
    loss = AdaptationLoss(config, context(text)).double().eval()

    def encoder_gradient(strength):
        both = batch(bank=text)
        total, found = loss(both, strength)
        total.backward()
        assert set(found) == {name}
        grads = [both.target.embeddings.grad, both.target.logits.grad]
        return torch.cat([g.flatten() for g in grads if g is not None])

    full, half = encoder_gradient(1.0), encoder_gradient(0.5)
    assert full.abs().max() > 0
    torch.testing.assert_close(half, 0.5 * full)


def test_loss_is_the_weighted_sum_and_dmsrl_has_the_published_weights():
    assert METHODS["dmsrl"] == {"metric": 0.01, "adversarial": 0.01}
    config = AdaptSection(method="dmsrl", weights={"adversarial": 0, "pseudo": 2.0})
    assert resolve_part_weights(config) == {"metric": 0.01, "pseudo": 2.0}
    loss = AdaptationLoss(config, context()).double().eval()
    total, found = loss(batch(), 0.5)
    assert total.item() == pytest.approx(
        0.01 * found["metric"].item() + 2.0 * found["pseudo"].item()
    )


def test_discriminator_may_have_another_ramp():
    def encoder_gradient(reversal):
        both = batch()
        torch.manual_seed(0)
        loss = AdaptationLoss(AdaptSection(method="dmsrl"), context()).double().eval()
        loss(both, 0.0, reversal)[0].backward()
        return both.target.embeddings.grad

    # w(p) = 0 turns off the metric part, too
    assert encoder_gradient(None).abs().max() == 0
    full, quarter = encoder_gradient(1.0), encoder_gradient(0.25)
    assert full.abs().max() > 0
    torch.testing.assert_close(quarter, 0.25 * full)


def test_reversal_of_dmsrl_grows_over_ten_thousand_steps():
    assert [AdaptSection(method=m).reversal_ramp for m in ("dmsrl", "dann")] == [10_000, 0]
    assert AdaptSection(method="dmsrl", reversal_steps=0).reversal_ramp == 0
    values = [compute_reversal(step, 10_000) for step in (1, 1_000, 10_000, 50_000)]
    assert values == pytest.approx([0.0005, 0.4621, 0.9999, 1.0], abs=5e-5)


def test_centers_are_separate_parameters_and_can_be_tied_to_the_text():
    learned = AdaptationLoss(AdaptSection(), context())
    assert len(learned.center_parameters()) == 2
    assert not {id(p) for p in learned.center_parameters()} & {
        id(p) for p in learned.other_parameters()
    }
    tied = AdaptationLoss(AdaptSection(centers="tied"), context(bank()))
    assert tied.center_parameters() == []
    start = AdaptationLoss(AdaptSection(centers="text"), context(bank()))
    assert len(start.center_parameters()) == 2
    assert torch.equal(start.center_parameters()[0], tied.parts["metric"].loss.source_centers)
    for config in (AdaptSection(centers="text"), AdaptSection(weights={"text": 1.0})):
        with pytest.raises(ConfigError, match="linear head"):
            AdaptationLoss(config, context())
    with pytest.raises(ConfigError, match="negative"):
        AdaptationLoss(AdaptSection(weights={"metric": -1.0}), context())


def test_threshold_of_pseudo_labels():
    logits = torch.tensor([[2.0, 0, 0], [0.1, 0, 0], [0, 0, 5.0]])
    labels, weights = PseudoLabeler(3)(logits)
    assert labels.tolist() == [0, 0, 2]
    assert weights.tolist() == [1, 1, 1]
    assert PseudoLabeler(3, threshold=0.6)(logits).weights.tolist() == [1, 0, 1]


def test_balance_favors_rare_classes():
    labeller = PseudoLabeler(2, balance=1.0)
    for _ in range(50):
        labeller(torch.tensor([[1.0, 0.0]]))
    assert labeller.eval()(torch.tensor([[0.9, 0.0]])).labels.tolist() == [1]
    assert PseudoLabeler(2)(torch.tensor([[0.9, 0.0]])).labels.tolist() == [0]
    again = PseudoLabeler(2, balance=1.0)
    again.load_state_dict(labeller.state_dict())
    assert again.eval()(torch.tensor([[0.9, 0.0]])).labels.tolist() == [1]


def test_unused_pseudo_labels_have_zero_gradient():
    text = bank()
    for name in ("pseudo", "text"):
        loss = AdaptationLoss(AdaptSection(method="source", weights={name: 1.0}), context(text))
        both = batch(weights=torch.zeros(5).double(), bank=text)
        total, _ = loss.double()(both, 1.0)
        total.backward()
        assert total.item() == 0
        assert both.target.logits.grad.abs().max() == 0


def test_text_part_is_the_objective_over_images_in_use():
    text = bank()
    used = torch.tensor([1.0, 0, 1, 1, 0]).double()
    both = batch(weights=used, bank=text)
    config = AdaptSection(method="source", weights={"text": 1.0})
    total, _ = AdaptationLoss(config, context(text)).double()(both, 0.5)
    chosen = both.target.map(lambda x: x[used > 0])
    expected, _ = KE2NTLoss()(chosen, both.pseudo.labels[used > 0], text)
    assert total.item() == pytest.approx(0.5 * 0.6 * expected.item())


def test_ramp():
    assert compute_ramp(0.0) == 0
    assert compute_ramp(1.0) == pytest.approx(2 / (1 + math.exp(-10)) - 1)
    assert compute_ramp(0.3, 4.0) == pytest.approx(2 / (1 + math.exp(-1.2)) - 1)
    assert compute_ramp(0.0, 0.0) == 1
