"""Adapters against their papers' formulas, element by element, and in models that are saved."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.adapters import (
    ADAPTERS,
    ClipAdapter,
    LinearProbe,
    NeutralAdapter,
    TipAdapter,
    build_adapter,
)
from ke2nt.models.familiarity import Familiarity
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.runtime.l2_normalize import l2_normalize

B, D, K, M, SCALE = 5, 8, 3, 7, 30.0
CLASSES = ("neutral", "happiness", "fear")


@pytest.fixture
def unit():
    return l2_normalize(torch.randn(B, D, dtype=torch.float64))


@pytest.fixture
def text():
    return l2_normalize(torch.randn(K, D, dtype=torch.float64))


def filled(kind: str) -> torch.nn.Module:
    """An adapter of each kind, with random weights."""
    classes = {"classes": list(CLASSES)} if kind in ("linear-probe", "tip-adapter") else {}
    options = {"kind": kind, **classes}
    if kind == "tip-adapter":
        options |= {"entries": M, "alpha": 2.5, "beta": 4.0}
    elif not classes:
        options["ratio"] = 0.3
    adapter = build_adapter(options, D).double()
    with torch.no_grad():
        for value in adapter.parameters():
            value.copy_(torch.randn(value.shape))
        if kind == "tip-adapter":
            adapter.keys.copy_(l2_normalize(adapter.keys))
            adapter.values.copy_(torch.eye(K)[torch.arange(M) % K])
    return adapter


def dot(a, b) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def matvec(matrix, vector) -> list[float]:
    return [dot(row, vector) for row in matrix]


def slow_logits(adapter, f: list[float], text) -> list[float]:
    """The logits of one image in plain Python, from the papers' formulas."""

    def cosines(v):
        length = math.sqrt(dot(v, v))
        return [SCALE * dot(v, t) / length for t in text.tolist()]

    w = {name: value.tolist() for name, value in adapter.state_dict().items()}
    if isinstance(adapter, LinearProbe):
        return [a + b for a, b in zip(matvec(w["weight"], f), w["bias"], strict=True)]
    if isinstance(adapter, TipAdapter):
        logits = cosines(f)
        for key, value in zip(w["keys"], w["values"], strict=True):
            affinity = math.exp(-4.0 * (1 - dot(f, key)))
            logits = [a + 2.5 * affinity * b for a, b in zip(logits, value, strict=True)]
        return logits
    if isinstance(adapter, ClipAdapter):
        hidden = [max(0.0, x) for x in matvec(w["down.weight"], f)]
        adapted = matvec(w["up.weight"], hidden)
        return cosines([0.3 * a + 0.7 * b for a, b in zip(adapted, f, strict=True)])

    hidden = matvec(w["residual.down.weight"], f)
    hidden = [max(0.0, a + b) for a, b in zip(hidden, w["residual.down.bias"], strict=True)]
    residual = matvec(w["residual.up.weight"], hidden)
    residual = [a + b for a, b in zip(residual, w["residual.up.bias"], strict=True)]
    return cosines([b + 0.3 * a for a, b in zip(residual, f, strict=True)])


@pytest.mark.parametrize("kind", ADAPTERS)
def test_logits_and_gradients_are_those_of_the_formula(kind, unit, text):
    adapter = filled(kind)
    logits = adapter(unit, text, SCALE).logits
    expected = [slow_logits(adapter, row, text) for row in unit.tolist()]
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-10)

    # gradients of a weighted sum of the logits, by central differences of the slow formula
    weights = torch.randn(B, K, dtype=torch.float64)
    (logits * weights).sum().backward()
    used = {name: p for name, p in adapter.named_parameters() if p.grad is not None}
    assert used
    for name, parameter in used.items():
        place = tuple(int(torch.randint(size, ())) for size in parameter.shape)
        slopes = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                parameter[place] += step
                rows = [slow_logits(adapter, row, text) for row in unit.tolist()]
                slopes.append(float((torch.tensor(rows, dtype=torch.float64) * weights).sum()))
                parameter[place] -= step
        slope = (slopes[0] - slopes[1]) / 2e-6
        assert float(parameter.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-5), name


def test_neutral_embeddings_are_m_of_the_adapted_ones(unit, text):
    adapter = filled("ke2nt-adapter")
    output = adapter(unit, text, SCALE)
    m = adapter.transformation
    hidden = (output.embeddings @ m.down.weight.T + m.down.bias).clamp(min=0)
    torch.testing.assert_close(output.neutral_embeddings, hidden @ m.up.weight.T + m.up.bias)


def test_a_new_ke2nt_adapter_leaves_the_text_as_it_is(unit, text):
    output = NeutralAdapter(D, 1.0).double()(unit, text, SCALE)
    torch.testing.assert_close(output.logits, SCALE * unit @ text.T)
    torch.testing.assert_close(output.embeddings, unit)


@pytest.mark.parametrize("kind", ["linear-probe", "tip-adapter"])
def test_fixed_classes_can_be_reordered_but_not_extended(kind, unit, text):
    adapter = filled(kind)
    before = adapter(unit, text, SCALE).logits
    adapter.use_classes(["fear", "neutral"])
    after = adapter(unit, text[[2, 0]], SCALE).logits
    torch.testing.assert_close(after, before[:, [2, 0]])
    with pytest.raises(ModelError, match=r"knows no other classes.*found boredom"):
        adapter.use_classes(["neutral", "boredom"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kind": "tip-adaptr"}, ModelError, "Did you mean 'tip-adapter'"),
        ({"kind": "clip-adapter", "ratio": 1.5}, ModelError, "ratio is out of range"),
        ({"kind": "clip-adapter", "reduction": 99}, ModelError, "reduction is out of range"),
        ({"kind": "ke2nt-adapter", "beta": 1}, CheckpointError, "are not valid"),
        ({"kind": "tip-adapter", "classes": ["a"], "entries": 0}, ModelError, "1 entry or more"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        build_adapter(options, D)


def adapted(model: KE2NT, kind: str) -> KE2NT:
    options = {"kind": kind}
    if kind in ("linear-probe", "tip-adapter"):
        options["classes"] = list(model.classes)
    if kind == "tip-adapter":
        options |= {"entries": 4, "alpha": 3.0}
    adapter = build_adapter(options, model.dim)
    for value in adapter.parameters():
        torch.nn.init.normal_(value, std=0.3)
    if kind == "tip-adapter":
        adapter.values.copy_(torch.eye(4))
    model.set_adapter(adapter)
    return model.eval()


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_saved_model_has_its_adapter(kind, model, images, tmp_path):
    plain = model.eval()(images)
    adapted(model, kind).save_pretrained(tmp_path / "model")
    expected = model(images)
    assert not torch.allclose(expected.logits, plain.logits)

    # the embeddings that the adapter takes have unit norm
    unit = l2_normalize(plain.embeddings)
    direct = model.adapter(unit, model.text_embeddings, model.logit_scale)
    torch.testing.assert_close(expected.logits, direct.logits)

    loaded = load_model(tmp_path / "model")
    assert loaded.architecture == model.architecture
    for new, old in zip(loaded(images), expected, strict=True):
        torch.testing.assert_close(new, old)
    assert f"**Adapter**: {kind}" in (tmp_path / "model" / "README.md").read_text()


def test_embeddings_keep_the_norm_that_the_transformation_knows(model, images):
    plain = model.eval()(images)
    output = adapted(model, "linear-probe")(images)
    torch.testing.assert_close(output.embeddings, plain.embeddings)
    torch.testing.assert_close(output.neutral_embeddings, plain.neutral_embeddings)


def test_new_words_meet_the_adapted_embeddings(model, images, new_bank):
    output = adapted(model, "clip-adapter")(images)
    model.set_bank(new_bank(classes=("calm", "glad"), seed=8))
    logits: Tensor = model(images).logits
    direction = l2_normalize(output.embeddings)
    torch.testing.assert_close(logits, 50.0 * direction @ model.text_embeddings.T)


def test_new_words_are_refused_where_images_decide(model, new_bank):
    adapted(model, "tip-adapter")
    before = model.classes
    with pytest.raises(ModelError, match="knows no other classes"):
        model.set_bank(new_bank(classes=("calm", "glad"), seed=8))
    assert model.classes == before


def test_facts_that_an_adapter_makes_wrong_are_dropped(model):
    scale = {"zero": {}, "unit": {}}
    model.card = {"evaluations": [1], "predict": {"margin": 0.2, "intensity": scale}, "name": "n"}
    width = model.dim
    model.familiarity = Familiarity(
        *(torch.ones(width), torch.tensor(0.0), torch.zeros(width), torch.ones(width, 1)),
        min_face=0.0,
        max_distance=1.0,
    )
    adapted(model, "clip-adapter")
    assert model.familiarity is None
    assert model.card == {"predict": {"margin": 0.2}, "name": "n"}
    model.set_adapter(None)
    assert "adapter" not in model.architecture
