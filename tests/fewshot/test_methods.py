"""Each method against an independent implementation of its paper's formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from few_shot_task import CLASSES, make_task

from ke2nt.fewshot import linear_probe, residual_adapters, tip_adapter
from ke2nt.fewshot import train_adapter as training
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.methods import METHODS
from ke2nt.fewshot.selection import ValidationScore, choose_best, score_validation
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.adapters import ClipAdapter, NeutralAdapter


def softmax(row):
    top = max(row)
    powers = [math.exp(x - top) for x in row]
    return [p / sum(powers) for p in powers]


def test_validation_scores_are_recall_then_likelihood():
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 3], [0, 4, 1]])
    score = score_validation(logits, torch.tensor([0, 1, 1]))
    assert score.uar == pytest.approx((1 + 1 / 2) / 2)
    rows = [softmax(row)[k] for row, k in zip(logits.tolist(), (0, 1, 1), strict=True)]
    assert score.log_likelihood == pytest.approx(sum(map(math.log, rows)) / 3)

    options = [("a", 0.5, -1.0), ("b", 0.6, -9.0), ("c", 0.6, -2.0), ("d", 0.6, -2.0)]
    best, _ = choose_best((name, ValidationScore(*score)) for name, *score in options)
    assert best == "c"


def test_linear_probe_is_the_optimum_of_its_objective(task):
    c = 3.0
    probe = linear_probe._Search(task)._fit(c)
    x, y = task.train.embeddings.double(), task.train.labels
    weight, bias = (p.detach().double() for p in probe.parameters())

    # gradient of C Σ cross-entropy + ½ ‖W‖², by hand
    shares = torch.tensor([softmax(row) for row in (x @ weight.T + bias).tolist()]).double()
    error = shares - torch.eye(3)[y]
    assert float((c * error.T @ x + weight).abs().max()) < 0.01 * float(weight.abs().max())
    assert float((c * error.sum(dim=0)).abs().max()) < 0.01 * float(weight.abs().max())


def test_linear_probe_searches_c_as_the_paper_does(task, monkeypatch):
    """Seven coarse values, then halved steps around the best; a peak is found to 1/8 decade."""
    tried = []

    def score(self, power):
        tried.append(power)
        self.probes[power] = None
        return ValidationScore(-abs(power - 1.37), 0.0)

    monkeypatch.setattr(linear_probe._Search, "score", score)
    chosen = METHODS["linear-probe"](task).chosen
    assert tried[:7] == [-6, -4, -2, 0, 2, 4, 6]
    assert math.log10(chosen["C"]) == pytest.approx(1.37, abs=0.0625)


def test_linear_probe_of_two_classes(monkeypatch):
    task = make_task(classes=CLASSES[:2])
    fitted = METHODS["linear-probe"](task)
    logits = fitted.logits(task.train.embeddings, 1.0)
    assert logits.shape == (8, 2)
    assert score_validation(logits, task.train.labels).uar > 0.8


def slow_tip(task, keys, labels, alpha, beta, images):
    """100 · f Wᵀ + α exp(−β (1 − f Fᵀ)) L, one image and one key at a time."""
    rows = []
    for f in images.double().tolist():
        row = [
            task.logit_scale * sum(a * b for a, b in zip(f, t, strict=True))
            for t in task.bank.embeddings.double().tolist()
        ]
        for key, label in zip(keys.double().tolist(), labels.tolist(), strict=True):
            cosine = sum(a * b for a, b in zip(f, key, strict=True))
            row[label] += alpha * math.exp(-beta * (1 - cosine))
        rows.append(row)
    return rows


def test_tip_adapter_is_its_formula_with_the_best_alpha_and_beta(task):
    fitted = METHODS["tip-adapter"](task)
    alpha, beta = fitted.chosen["alpha"], fitted.chosen["beta"]
    cache = (task.train.embeddings, task.train.labels)
    expected = slow_tip(task, *cache, alpha, beta, task.validation.embeddings)
    found = fitted.logits(task.validation.embeddings, task.logit_scale)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)

    # no other pair does better on the validation images
    best = score_validation(torch.tensor(expected), task.validation.labels)
    pairs = itertools.product((0.03, 0.3, 3.0, 30.0), (0.5, 5.5, 40.0))
    for pair in pairs:
        logits = torch.tensor(slow_tip(task, *cache, *pair, task.validation.embeddings))
        score = score_validation(logits, task.validation.labels)
        assert (score.uar, score.log_likelihood - 1e-4) <= tuple(best)


def test_a_large_cache_holds_means_of_groups():
    task = make_task(shots=50)
    cache = tip_adapter.build_cache(task)
    assert cache.values.sum(dim=0).tolist() == [16, 16, 16]
    torch.testing.assert_close(cache.keys.norm(dim=1), torch.ones(48))

    # a key is nearer to the center of its class than its images are
    centers = torch.stack([task.train.embeddings[task.train.labels == k].mean(0) for k in range(3)])
    for k in range(3):
        images = task.train.embeddings[task.train.labels == k] @ centers[k]
        assert (cache.keys[cache.values[:, k] == 1] @ centers[k]).mean() > images.mean()


def test_tip_adapter_f_trains_the_keys_alone(task):
    before = tip_adapter.build_cache(task)
    fitted = METHODS["tip-adapter-f"](task)
    assert torch.equal(fitted.adapter.values, before.values)
    assert not torch.equal(fitted.adapter.keys, before.keys)
    assert {name for name, _ in fitted.adapter.named_parameters()} == {"keys"}


def test_gradients_of_the_cache_are_those_of_the_cross_entropy(task):
    """∂/∂F of the mean −log softmax of Tip-Adapter's logits, by hand."""
    cache = tip_adapter.build_cache(task).double()
    cache.alpha, cache.beta = 2.0, 3.0
    x, y = task.train.embeddings.double()[:5], task.train.labels[:5]
    output = cache(x, task.bank.embeddings.double(), 30.0)
    KE2NTLoss((1, 0, 0))(output, y, task.bank).total.backward()

    labels = cache.values.argmax(dim=1)
    logits = slow_tip(task, cache.keys.detach(), labels, 2.0, 3.0, x)
    expected = np.zeros(tuple(cache.keys.shape))
    for f, row, label in zip(x.numpy(), logits, y.tolist(), strict=True):
        error = np.array(softmax(row)) - np.eye(3)[label]
        for m, key in enumerate(cache.keys.detach().numpy()):
            affinity = math.exp(-3.0 * (1 - f @ key))
            expected[m] += error[int(labels[m])] * 2.0 * 3.0 * affinity * f / 5
    np.testing.assert_allclose(cache.keys.grad.numpy(), expected, rtol=1e-6, atol=1e-9)


def adamw(parameters, gradients, state, step, rate, decay):
    """One step of AdamW (Loshchilov 2019) in NumPy; decay before the step."""
    for name, value in parameters.items():
        m, v = state.setdefault(name, [np.zeros_like(value), np.zeros_like(value)])
        g = gradients[name]
        m[:] = 0.9 * m + 0.1 * g
        v[:] = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        value[:] = value * (1 - rate * decay) - rate * m_hat / (np.sqrt(v_hat) + 1e-8)


def test_training_is_adamw_with_a_cosine_schedule(task):
    """CLIP-Adapter, trained for eight full batches in NumPy with gradients by hand."""
    adapter = training.build_seeded(lambda: ClipAdapter(12, 0.4), task, "clip-adapter")
    weights = {name: p.detach().double().numpy().copy() for name, p in adapter.named_parameters()}
    training.train_adapter(adapter, task, KE2NTLoss((1, 0, 0)), rate=1e-3, purpose="clip-adapter")

    x, y = task.train.embeddings.double().numpy(), task.train.labels.numpy()
    text, state = task.bank.embeddings.double().numpy(), {}
    for step in range(1, 9):
        # f* = a ReLU(x W1ᵀ) W2ᵀ + (1 − a) x, logits = s f* / |f*| · t
        hidden = x @ weights["down.weight"].T
        active = np.maximum(hidden, 0)
        mixed = 0.4 * active @ weights["up.weight"].T + 0.6 * x
        norm = np.linalg.norm(mixed, axis=1, keepdims=True)
        direction = mixed / norm
        logits = 30.0 * direction @ text.T
        shares = np.exp(logits - logits.max(1, keepdims=True))
        error = (shares / shares.sum(1, keepdims=True) - np.eye(3)[y]) / len(y)

        # back through the cosine and both layers
        pull = 30.0 * error @ text
        pull = (pull - direction * (pull * direction).sum(1, keepdims=True)) / norm
        back = 0.4 * pull @ weights["up.weight"] * (hidden > 0)
        gradients = {"up.weight": 0.4 * pull.T @ active, "down.weight": back.T @ x}
        rate = 1e-3 * (1 + math.cos(math.pi * (step - 1) / 8)) / 2
        adamw(weights, gradients, state, step, rate, 1e-2)

    for name, parameter in adapter.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), weights[name], atol=2e-5)


def slow_ke2nt_loss(adapter, task):
    """L_s + L_t + L_c of systems.md, one image (and pair of images) at a time."""

    def cos(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    x = task.train.embeddings.double()
    bank = task.bank
    text, raw, anchor = (each.double() for each in (bank.embeddings, bank.raw, bank.neutral_raw))
    output = adapter(x, text, task.logit_scale)
    f_e, f_n = output.embeddings.detach(), output.neutral_embeddings.detach()
    labels = task.train.labels.tolist()

    similarity = 0.0
    for f, y in zip(f_e, labels, strict=True):
        similarity -= math.log(softmax([task.logit_scale * cos(f, t) for t in text])[y])
    others = [i for i, y in enumerate(labels) if y != bank.neutral_index]
    move = sum(1 - cos(f_e[i] - f_n[i], raw[labels[i]] - anchor) for i in others)
    contrast = sum(
        cos(text[labels[i]], f_n[j]) - cos(text[labels[i]], f_e[j]) + 2
        for i in others
        for j in others
    )
    return similarity / len(labels) + move / len(others) + contrast / len(others) ** 2


def test_ke2nt_adapter_minimizes_the_three_losses(task):
    adapter = training.build_seeded(lambda: NeutralAdapter(12, 0.5), task, "x").double()
    torch.nn.init.normal_(adapter.residual.up.weight, std=0.2)
    x, text = task.train.embeddings.double(), task.bank.embeddings.double()
    total = KE2NTLoss()(adapter(x, text, 30.0), task.train.labels, task.bank).total
    assert float(total.detach()) == pytest.approx(slow_ke2nt_loss(adapter, task), rel=1e-6)

    # gradients by central differences of the slow loss
    total.backward()
    for name, parameter in adapter.named_parameters():
        place = tuple(size // 2 for size in parameter.shape)
        slopes = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[place] += step
                slopes.append(slow_ke2nt_loss(adapter, task))
                parameter[place] -= step
        slope = (slopes[0] - slopes[1]) / 2e-5
        assert float(parameter.grad[place]) == pytest.approx(slope, rel=1e-3, abs=1e-5), name


def test_ke2nt_adapter_learns_the_way_to_neutral(monkeypatch):
    """On new images the move points from neutral to the class, as the texts do."""
    monkeypatch.setattr(training, "_MIN_STEPS", 60)
    task = make_task(dim=48)
    fitted = METHODS["ke2nt-adapter"](task)
    bank, (images, labels) = task.bank, task.validation
    with torch.no_grad():
        output = fitted.adapter(images, bank.embeddings, 30.0)
    moves = output.embeddings - output.neutral_embeddings
    directions = (bank.raw - bank.neutral_raw)[labels]
    cosines = torch.nn.functional.cosine_similarity(moves, directions)[labels != 0]
    frozen = torch.nn.functional.cosine_similarity(images, directions)[labels != 0]
    assert float(cosines.min()) > 0.5 > float(frozen.mean())


@pytest.mark.parametrize("method", ["clip-adapter", "ke2nt-adapter"])
def test_the_ratio_is_the_best_on_validation_images(method, task, monkeypatch):
    """Wrong validation labels lead to another choice, so they are what decides."""
    scores = {}
    plain = residual_adapters.score_validation

    def record(logits, labels):
        score = plain(logits, labels)
        scores[len(scores)] = score
        return score

    monkeypatch.setattr(residual_adapters, "score_validation", record)
    fitted = METHODS[method](task)
    ratios = {"clip-adapter": (0.2, 0.4, 0.6, 0.8), "ke2nt-adapter": (0.1, 0.3, 1.0)}[method]
    best = max(scores, key=lambda k: scores[k])
    assert fitted.chosen["ratio"] == fitted.adapter.ratio == ratios[best]
    assert fitted.chosen["validation_uar"] == scores[best].uar


@pytest.mark.parametrize("method", [name for name in METHODS if name != "coop"])
def test_a_method_depends_on_the_task_alone(method, task):
    torch.manual_seed(1)
    first = METHODS[method](task).logits(task.validation.embeddings, 30.0)
    torch.manual_seed(2)
    again = METHODS[method](task).logits(task.validation.embeddings, 30.0)
    assert torch.equal(first, again)
    assert bool(first.isfinite().all())


def test_zero_shot_is_the_cosine_with_the_text(task):
    logits = METHODS["zero-shot"](task).logits(3 * task.train.embeddings, 30.0)
    torch.testing.assert_close(logits, 30.0 * task.train.embeddings @ task.bank.embeddings.T)


def test_more_images_than_a_batch_are_seen_in_every_epoch():
    task = make_task()
    wide = Features(task.train.embeddings.repeat(60, 1), task.train.labels.repeat(60))
    rows = list(training._draw_batches(len(wide.labels), 1, "x"))
    assert [len(batch) for batch in rows[:3]] == [256, 256, 208]
    assert sorted(torch.cat(rows[:3]).tolist()) == list(range(720))
    assert len(rows) == 8
