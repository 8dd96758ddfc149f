"""Deep supervision against the slow loops, in value and gradient; what it refuses."""

from __future__ import annotations

import pytest
import torch
from loss_oracles import one_hot, self_contrast, similarity, transformation

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses import DeepSupervisionLoss, KE2NTLoss
from ke2nt.models.output import KE2NTOutput

LABELS = torch.tensor([0, 2, 1, 2])
K, D, S = 3, 5, 2


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def bank():
    rows = torch.randn(K, D, generator=torch.Generator().manual_seed(3))
    return TextBank.from_tensors(
        rows, classes=("neutral", "anger", "fear"), neutral_index=0, logit_scale=1.0
    )


@pytest.fixture
def output():
    torch.manual_seed(0)
    fused, *stages = (KE2NTOutput(leaf(4, K), leaf(4, D), leaf(4, D)) for _ in range(1 + S))
    return fused.replace(stages=tuple(stages))


def oracle(out, bank, *, similarity_alone):
    """Value and gradients by logits, embeddings and neutral embeddings, by plain loops."""
    logits, e, n = (tensor.tolist() for tensor in out)
    target = one_hot(LABELS.tolist(), K)
    value, by_logits = similarity(logits, target)
    if similarity_alone:
        return value, [by_logits, None, None]
    raw, anchor = bank.raw.double().tolist(), bank.neutral_raw.double().tolist()
    moved, e1, n1 = transformation(e, n, target, raw, anchor, 0)
    texts = bank.embeddings.double().tolist()
    near, e2, n2 = self_contrast(e, n, target, texts, 0, "batch")
    summed = [torch.tensor(a) + torch.tensor(b) for a, b in ((e1, e2), (n1, n2))]
    return value + moved + near, [by_logits, *summed]


@pytest.mark.parametrize("alone", [True, False])
def test_value_and_gradients_match_plain_loops(output, bank, alone):
    stage_loss = KE2NTLoss({"similarity": 1}) if alone else None
    weights = (0.25, 0.5)
    loss = DeepSupervisionLoss(KE2NTLoss(), stage_loss, weights=weights)
    total, parts = loss(output, LABELS, bank)
    total.backward()
    expected = 0.0
    for number, (weight, out) in enumerate(
        zip((1.0, *weights), (output, *output.stages), strict=True)
    ):
        value, gradients = oracle(out, bank, similarity_alone=alone and number > 0)
        expected += weight * value
        if number:
            assert parts[f"stage_{number}"].item() == pytest.approx(value, abs=1e-6)
        for tensor, gradient in zip(out, gradients, strict=True):
            if gradient is None:
                assert tensor.grad is None
            else:
                wanted = weight * torch.as_tensor(gradient, dtype=torch.float64)
                torch.testing.assert_close(tensor.grad, wanted, atol=1e-6, rtol=1e-5)
    assert total.item() == pytest.approx(expected, abs=1e-6)
    assert set(parts) == {"similarity", "transformation", "self_contrast", "stage_1", "stage_2"}


def test_gradcheck(output, bank):
    loss = DeepSupervisionLoss(KE2NTLoss(pairing="paired"), weights=0.7)

    def of(*tensors):
        triples = [KE2NTOutput(*tensors[i : i + 3]) for i in range(0, len(tensors), 3)]
        return loss(triples[0].replace(stages=tuple(triples[1:])), LABELS, bank)[0]

    tensors = [t for out in (output, *output.stages) for t in out]
    assert torch.autograd.gradcheck(of, tensors)


def test_one_weight_serves_all_and_zero_leaves_a_stage_out(output, bank):
    one = DeepSupervisionLoss(KE2NTLoss(), weights=0.5)(output, LABELS, bank)[0]
    each = DeepSupervisionLoss(KE2NTLoss(), weights=(0.5, 0.5))(output, LABELS, bank)[0]
    assert torch.equal(one, each)
    none, parts = DeepSupervisionLoss(KE2NTLoss(), weights=0)(output, LABELS, bank)
    assert torch.equal(none, KE2NTLoss()(output, LABELS, bank)[0])
    assert not [name for name in parts if name.startswith("stage")]


def test_linear_heads_need_no_bank(output):
    stages = tuple(KE2NTOutput(s.logits, s.embeddings) for s in output.stages)
    plain = KE2NTOutput(output.logits, output.embeddings, stages=stages)
    total, _ = DeepSupervisionLoss(KE2NTLoss({"similarity": 1}))(plain, LABELS, None)
    assert total.isfinite()


def test_mismatched_weights_are_refused(output, bank):
    with pytest.raises(ConfigError, match="weights of deep supervision"):
        DeepSupervisionLoss(KE2NTLoss(), weights=(0.1, -1.0))
    with pytest.raises(ModelError, match="2 weights, one for each stage"):
        DeepSupervisionLoss(KE2NTLoss(), weights=(1, 1, 1))(output, LABELS, bank)
    with pytest.raises(ModelError, match="several stages"):
        DeepSupervisionLoss(KE2NTLoss())(output.stages[0], LABELS, bank)
