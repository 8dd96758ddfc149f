"""SigLIP's towers, those on a trunk of timm among them: soft labels and the pairwise sigmoid."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from tiny_towers import timm_siglip, vision_language_model

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.evaluation.zero_shot import class_logits, zero_shot
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.load import load_model

CLASSES = ("neutral", "happiness", "anger")
SOFT = torch.tensor([[0.6, 0.3, 0.1], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])


@pytest.fixture(scope="module", params=["open_clip", "transformers", "timm"])
def spec(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("siglip")
    if request.param == "timm":
        return timm_siglip(root)
    return vision_language_model(root, f"{request.param}-siglip")


def images_of(model, count=3):
    side = model.preprocessing.image_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    return model.preprocessing.normalize(pixels)


def pairwise_loss(logits, shares, bias):
    """A loop over all pairs of image and class."""
    total = 0.0
    for z_row, p_row in zip(logits.tolist(), shares.tolist(), strict=True):
        for z, p in zip(z_row, p_row, strict=True):
            right = math.log1p(math.exp(-abs(z + bias))) + max(-(z + bias), 0)
            wrong = math.log1p(math.exp(-abs(z + bias))) + max(z + bias, 0)
            total += p * right + (1 - p) * wrong
    return total / len(logits)


def test_soft_labels_train_every_layer_by_the_pairwise_sigmoid(spec):
    model = KE2NT(TextBank.build("paper", spec, CLASSES), spec).train()
    output = model(images_of(model))

    loss = KE2NTLoss((1, 0, 0), similarity_form="sigmoid")
    total = loss(output, SOFT, model.bank).total
    assert total.item() == pytest.approx(pairwise_loss(output.logits, SOFT, -12.0), rel=1e-5)

    total.backward()
    assert [n for n, p in model.backbone.named_parameters() if p.grad is None] == []


def test_a_learned_bias_moves_with_the_loss_and_changes_no_prediction(spec, tmp_path):
    bank = TextBank.build("paper", spec, CLASSES)
    model = KE2NT(bank, spec, learned_logit_bias=-3.0).train()
    loss = KE2NTLoss((1, 0, 0), similarity_form="sigmoid", similarity_bias=5.0)
    output = model(images_of(model))

    # the derivative by b of the loop, at the value of the model
    total = loss(output, SOFT, bank).total
    total.backward()
    shares, step = SOFT, 1e-3
    numeric = pairwise_loss(output.logits, shares, -3 + step)
    numeric = (numeric - pairwise_loss(output.logits, shares, -3 - step)) / (2 * step)
    assert total.item() == pytest.approx(pairwise_loss(output.logits, shares, -3.0), rel=1e-5)
    assert model.logit_bias.grad.item() == pytest.approx(numeric, rel=1e-3, abs=1e-4)

    # each head of stages has it, and selected rows keep it
    assert output.map(lambda rows: rows[:1]).logit_bias is model.logit_bias

    model.eval().save_pretrained(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.logit_bias.item() == -3.0
    with torch.no_grad():
        plain = KE2NT(bank, spec).eval()(images_of(model)).logits
        assert torch.equal(again(images_of(model)).logits, plain)


def test_a_trunk_of_timm_is_a_tower(tmp_path):
    spec = timm_siglip(tmp_path)
    bank = TextBank.build("paper", spec, CLASSES)
    model = KE2NT(bank, spec).eval()

    # the logits of zero-shot recognition
    rng = np.random.default_rng(4)
    faces = [rng.integers(0, 256, (70, 50, 3), np.uint8) for _ in range(3)]
    samples = tuple(FaceSample(f"{i}.png", face, label=i) for i, face in enumerate(faces))
    result = zero_shot(spec, "paper", FaceSplit("tiny", "test", CLASSES, samples))
    with torch.no_grad():
        found = model(model.preprocessing(faces)).logits
    expected = class_logits(result.images, result.bank)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)

    # its blocks are known to LoRA, and its token grids to attention heads
    assert len(find_layer_groups(model.backbone.net).blocks) == 6
    deep = KE2NT(bank, spec, attention={"stages": 2})
    assert [tuple(maps.shape) for maps in deep(images_of(deep)).attention] == [(3, 10, 10)] * 2

    # a saved model needs no file of it
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(spec.partition(":")[2])
    with torch.no_grad():
        again = load_model(tmp_path / "model")(model.preprocessing(faces)).logits
    assert torch.equal(again, found)
