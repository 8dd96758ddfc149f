"""Batches that broke the published implementation, low precision, and inputs that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses import KE2NTLoss, SelfContrastLoss, SimilarityLoss, TransformationLoss
from ke2nt.models.output import KE2NTOutput

NEUTRAL_LOSSES = [TransformationLoss(), SelfContrastLoss(), SelfContrastLoss("paired")]
LABELS = torch.tensor([0, 1, 2, 3, 1, 0, 2])


def ids(loss):
    return type(loss).__name__ + getattr(loss, "pairing", "")


neutral_losses = pytest.mark.parametrize("loss", NEUTRAL_LOSSES, ids=ids)


@neutral_losses
@pytest.mark.parametrize("soft", [False, True])
def test_all_neutral_is_exactly_zero_with_zero_gradients(make_output, make_bank, loss, soft):
    output, bank = make_output(), make_bank(2)
    labels = torch.full((7,), 2)
    if soft:
        labels = torch.nn.functional.one_hot(labels, 4).double()
    value = loss(output, labels, bank)
    value.backward()
    assert value.item() == 0
    for gradient in (output.embeddings.grad, output.neutral_embeddings.grad):
        assert gradient is not None
        assert torch.equal(gradient, torch.zeros_like(gradient))


@neutral_losses
def test_neutral_samples_change_nothing(make_output, make_bank, loss):
    output, bank = make_output(), make_bank()
    kept = LABELS != 0
    part = KE2NTOutput(*(tensor[kept] for tensor in output))
    torch.testing.assert_close(loss(output, LABELS, bank), loss(part, LABELS[kept], bank))


@neutral_losses
def test_without_neutral_class_every_sample_counts(make_output, make_bank, loss):
    output, bank = make_output(), make_bank(None)
    loss(output, LABELS, bank).backward()
    assert (output.embeddings.grad.abs().sum(dim=1) > 0).all()


@neutral_losses
def test_one_class_that_is_neutral_and_one_that_is_not(make_output, make_bank, loss):
    output = make_output(batch=2, classes=1)
    labels = torch.zeros(2, dtype=torch.int64)
    assert loss(output, labels, make_bank(0, classes=("neutral",))).item() == 0
    assert loss(output, labels, make_bank(None, classes=("fear",))).item() > 0


@neutral_losses
def test_gradients_are_finite_and_bounded_where_vectors_vanish(make_bank, loss):
    same = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    same[2] = 0
    e, n = same.clone().requires_grad_(), same.clone().requires_grad_()
    value = loss(KE2NTOutput(e, e, n), torch.tensor([1, 2, 3]), make_bank())
    value.backward()
    assert value.isfinite()
    for gradient in (e.grad, n.grad):
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 100


@neutral_losses
def test_soft_labels_weigh_by_non_neutral_mass(make_output, make_bank, loss):
    """A sample that is almost neutral hardly counts."""
    output, bank = make_output(batch=2), make_bank()
    labels = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1 - 1e-9, 0.0, 1e-9, 0.0]], dtype=torch.float64)
    first = KE2NTOutput(*(tensor[:1] for tensor in output))
    torch.testing.assert_close(
        loss(output, labels, bank), loss(first, labels[:1], bank), rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_computed_in_float32(make_output, make_bank, dtype):
    half, bank = make_output(dtype=dtype), make_bank(dtype=torch.float32)
    single = KE2NTOutput(*(tensor.detach().float() for tensor in half))
    objective = KE2NTLoss()
    total, parts = objective(half, LABELS, bank)
    expected, _ = objective(single, LABELS, bank)
    assert total.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in parts.values())
    torch.testing.assert_close(total, expected, rtol=0, atol=0)
    total.backward()
    assert half.embeddings.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision(make_output, make_bank):
    output, bank = make_output(dtype=torch.float32), make_bank(dtype=torch.float32)
    expected, _ = KE2NTLoss()(output, LABELS, bank)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = KE2NTLoss()(output, LABELS, bank)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=1e-6)


class ValuelessBank:
    """What the losses read of a bank; a real one checks values."""

    def __init__(self):
        self.raw, self.embeddings = (torch.empty(4, 6, device="cuda") for _ in range(2))
        self.neutral_raw = torch.empty(6, device="cuda")
        self.neutral_index = 0


@pytest.mark.parametrize("soft", [False, True])
def test_no_value_is_read_off_the_device(soft):
    """Fake CUDA tensors have no values, so any read of one would raise."""
    with FakeTensorMode():
        bank = ValuelessBank()
        output = KE2NTOutput(*(torch.empty(7, w, device="cuda") for w in (4, 6, 6)))
        labels = torch.empty((7, 4) if soft else 7, device="cuda")
        for pairing in ("batch", "paired"):
            total, _ = KE2NTLoss(pairing=pairing)(output, labels if soft else labels.long(), bank)
            assert total.shape == ()


@neutral_losses
def test_linear_head_has_no_neutral_embeddings(make_output, make_bank, loss):
    output = make_output().replace(neutral_embeddings=None)
    with pytest.raises(ModelError, match="linear head has no neutral embeddings"):
        loss(output, LABELS, make_bank())
    with pytest.raises(ModelError, match="linear head"):
        loss(make_output(), LABELS, None)


def test_cross_entropy_alone_serves_a_linear_head(make_output):
    output = make_output().replace(neutral_embeddings=None)
    total, parts = KE2NTLoss((1, 0, 0))(output, LABELS, None)
    assert list(parts) == ["similarity"]
    assert total == torch.nn.functional.cross_entropy(output.logits, LABELS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:5], "do not fit the batch"),
        (LABELS.int(), "do not fit the batch"),
        (LABELS.double(), "do not fit the batch"),
        (torch.ones(7, 3) / 3, "do not fit the batch"),
        (torch.ones(7, 4, dtype=torch.int64), "do not fit the batch"),
        (LABELS + 1, "out of range.*0 to 3.*1 to 4"),
        (LABELS - 1, "out of range"),
        (torch.ones(7, 4), "not distributions"),
        (torch.tensor([[1.5, -0.5, 0.0, 0.0]] * 7), "not distributions"),
        (torch.full((7, 4), float("nan")), "not distributions"),
    ],
)
@pytest.mark.parametrize("loss", [SimilarityLoss(), *NEUTRAL_LOSSES], ids=ids)
def test_bad_labels(make_output, make_bank, loss, labels, message):
    with pytest.raises(ModelError, match=message):
        loss(make_output(), labels, make_bank())


def test_empty_batch(make_output, make_bank):
    with pytest.raises(ModelError, match="batch is empty"):
        KE2NTLoss()(make_output(batch=0), LABELS[:0], make_bank())


@neutral_losses
def test_text_of_another_width(make_output, make_bank, loss):
    with pytest.raises(ModelError, match="differ in width"):
        loss(make_output(dim=5), LABELS, make_bank())


@pytest.mark.parametrize(
    "weights",
    [
        {"similarity": 1, "transform": 1},
        {"similarity": -1},
        {"similarity": float("nan")},
        {"similarity": float("inf")},
        (0, 0, 0),
        (1, 1),
        (1, 1, 1, 1),
        {},
    ],
)
def test_bad_weights(weights):
    with pytest.raises(ConfigError, match="similarity, transformation, self_contrast"):
        KE2NTLoss(weights)


def test_bad_options():
    with pytest.raises(ConfigError, match="Did you mean 'paired'"):
        SelfContrastLoss("pairs")
    with pytest.raises(ConfigError, match="label_smoothing"):
        SimilarityLoss(1.0)
