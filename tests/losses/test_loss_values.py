"""Values and gradients equal the loops in loss_oracles.py to 1e-10; gradcheck; hard equals soft."""

from __future__ import annotations

import loss_oracles as oracles
import pytest
import torch
from torch.nn import functional

from ke2nt.losses import KE2NTLoss, SelfContrastLoss, SimilarityLoss, TransformationLoss
from ke2nt.models.output import KE2NTOutput

HARD = torch.tensor([0, 1, 2, 3, 1, 0, 2])
SOFT = torch.softmax(
    3 * torch.randn(7, 4, generator=torch.Generator().manual_seed(9), dtype=torch.float64), dim=1
)
LOSSES = [
    SimilarityLoss(0.1),
    TransformationLoss(),
    SelfContrastLoss("batch"),
    SelfContrastLoss("paired"),
]
LABELS = {"hard": HARD, "soft": SOFT}


def rows(labels):
    return labels.tolist() if labels.is_floating_point() else oracles.one_hot(labels.tolist(), 4)


def close(tensor, expected):
    reference = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(tensor, reference, rtol=1e-10, atol=1e-10)


@pytest.fixture(params=["hard", "soft"])
def labels(request):
    return LABELS[request.param]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_similarity_equals_the_oracle(make_output, labels, smoothing):
    output = make_output()
    loss = SimilarityLoss(smoothing)(output, labels, None)
    loss.backward()
    value, gradient = oracles.similarity(output.logits.tolist(), rows(labels), smoothing)
    close(loss.detach(), value)
    close(output.logits.grad, gradient)


@pytest.mark.parametrize("neutral_index", [0, 2, None])
def test_transformation_equals_the_oracle(make_output, make_bank, labels, neutral_index):
    output, bank = make_output(), make_bank(neutral_index)
    loss = TransformationLoss()(output, labels, bank)
    loss.backward()
    value, by_e, by_n = oracles.transformation(
        output.embeddings.tolist(),
        output.neutral_embeddings.tolist(),
        rows(labels),
        bank.raw.tolist(),
        bank.neutral_raw.tolist(),
        neutral_index,
    )
    close(loss.detach(), value)
    close(output.embeddings.grad, by_e)
    close(output.neutral_embeddings.grad, by_n)


@pytest.mark.parametrize("neutral_index", [0, 2, None])
@pytest.mark.parametrize("pairing", ["batch", "paired"])
def test_self_contrast_equals_the_oracle(make_output, make_bank, labels, neutral_index, pairing):
    output, bank = make_output(), make_bank(neutral_index)
    loss = SelfContrastLoss(pairing)(output, labels, bank)
    loss.backward()
    value, by_e, by_n = oracles.self_contrast(
        output.embeddings.tolist(),
        output.neutral_embeddings.tolist(),
        rows(labels),
        bank.embeddings.tolist(),
        neutral_index,
        pairing,
    )
    close(loss.detach(), value)
    close(output.embeddings.grad, by_e)
    close(output.neutral_embeddings.grad, by_n)


def test_text_differences_are_of_raw_embeddings(make_output, make_bank):
    """Normalizing before the difference would change the direction of t_y − t_0."""
    output, bank = make_output(), make_bank()
    move = output.embeddings - output.neutral_embeddings
    unit_moves = bank.embeddings - bank.neutral
    wrong = 1 - functional.cosine_similarity(move, unit_moves[HARD])[HARD != 0]
    assert abs(TransformationLoss()(output, HARD, bank) - wrong.mean()) > 1e-3


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize(
    "loss",
    [SimilarityLoss(0.1), TransformationLoss(), SelfContrastLoss(), SelfContrastLoss("paired")],
)
def test_gradcheck(make_output, make_bank, loss, kind):
    bank = make_bank()

    def function(*tensors):
        return loss(KE2NTOutput(*tensors), LABELS[kind], bank)

    assert torch.autograd.gradcheck(function, tuple(make_output()))


@pytest.mark.parametrize(
    "loss",
    [SimilarityLoss(0.1), TransformationLoss(), SelfContrastLoss(), SelfContrastLoss("paired")],
)
def test_one_hot_rows_equal_indices(make_output, make_bank, loss):
    output, bank = make_output(), make_bank()
    one_hot = functional.one_hot(HARD, 4).double()
    torch.testing.assert_close(
        loss(output, one_hot, bank), loss(output, HARD, bank), rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("labels", [HARD, SOFT])
def test_label_smoothing_equals_torch(make_output, labels):
    output = make_output()
    expected = functional.cross_entropy(output.logits, labels, label_smoothing=0.2)
    assert SimilarityLoss(0.2)(output, labels, None) == expected


def test_batch_and_paired_agree_on_one_sample_and_differ_on_more(make_output, make_bank):
    bank, one, more = make_bank(), make_output(batch=1), make_output()
    losses = SelfContrastLoss("batch"), SelfContrastLoss("paired")
    a, b = (loss(one, HARD[1:2], bank) for loss in losses)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    a, b = (loss(more, HARD, bank) for loss in losses)
    assert abs(a - b) > 1e-3


def test_closed_forms(make_bank):
    """L_t is 0 for moves along the text and 2 against it; L_c is 0 with f_e on it, f_n against."""
    bank, labels = make_bank(), torch.tensor([1, 3])
    start = torch.ones(2, 6, dtype=torch.float64)
    move = bank.raw[labels] - bank.neutral_raw
    for sign, expected in ((1, 0.0), (-1, 2.0)):
        loss = TransformationLoss()(
            KE2NTOutput(start, start + sign * 0.2 * move, start), labels, bank
        )
        assert abs(loss.item() - expected) < 1e-12
    text = bank.embeddings[labels]
    for sign, expected in ((1, 0.0), (-1, 4.0)):
        output = KE2NTOutput(start, sign * 3 * text, sign * -2 * text)
        assert abs(SelfContrastLoss("paired")(output, labels, bank).item() - expected) < 1e-12


def test_total_is_the_weighted_sum(make_output, make_bank):
    output, bank = make_output(), make_bank()
    weights = {"similarity": 0.5, "transformation": 2.0, "self_contrast": 0.25}
    total, parts = KE2NTLoss(weights, pairing="paired", label_smoothing=0.1)(output, HARD, bank)
    expected = {
        "similarity": SimilarityLoss(0.1),
        "transformation": TransformationLoss(),
        "self_contrast": SelfContrastLoss("paired"),
    }
    assert list(parts) == list(expected)
    for name, loss in expected.items():
        assert parts[name] == loss(output, HARD, bank)
        assert not parts[name].requires_grad
    reference = sum(weights[name] * parts[name] for name in weights)
    torch.testing.assert_close(total.detach(), reference, rtol=1e-14, atol=1e-14)
    total.backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in output)


def test_default_weights_are_one_and_sequences_name_parts_in_order(make_output, make_bank):
    output, bank = make_output(), make_bank()
    total, parts = KE2NTLoss()(output, HARD, bank)
    torch.testing.assert_close(total, sum(parts.values()), rtol=1e-14, atol=1e-14)
    _, parts = KE2NTLoss((0, 1, 2))(output, HARD, bank)
    assert list(parts) == ["transformation", "self_contrast"]
