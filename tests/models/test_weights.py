"""Initial weights from files as people publish them: wrapped, prefixed, partial, damaged."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ke2nt.blending.card import blended_card
from ke2nt.checkpoints.card_sections import data_section
from ke2nt.checkpoints.initial_weights import load_initial_weights
from ke2nt.errors import CheckpointError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8))


@pytest.fixture
def source():
    return make(1)


def prefixed(module, prefix):
    return {prefix + name: tensor for name, tensor in module.state_dict().items()}


def equal(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.visual.trunk.", "net.0."])
@pytest.mark.parametrize(
    "wrap", ["", "state_dict", "state_dict_backbone", "model", "model_state_dict", "net"]
)
def test_prefixes_and_wrapping_keys(tmp_path, source, prefix, wrap):
    state = prefixed(source, prefix)
    torch.save({"epoch": 3, wrap: state} if wrap else state, tmp_path / "w.pth")
    target = make()
    report = load_initial_weights(target, tmp_path / "w.pth")
    assert equal(source, target)
    assert (report.source, report.prefix) == (wrap, prefix)
    assert set(report.matched) == set(source.state_dict())
    assert report.missing == report.unexpected == report.mismatched == ()


def test_safetensors_and_a_classifier_that_is_not_wanted(tmp_path, source):
    state = {**prefixed(source, "encoder."), "fc.weight": torch.ones(5, 8)}
    save_file(state, tmp_path / "w.safetensors")
    target = make()
    report = load_initial_weights(target, tmp_path / "w.safetensors")
    assert equal(source, target)
    assert report.unexpected == ("fc.weight",)
    assert report.summary() == "9 matched, 0 missing, 1 unexpected, 0 mismatched"


def test_the_group_that_fits_best_is_taken(tmp_path, source):
    groups = {"optimizer": {"state": {"0.weight": torch.ones(4, 3, 3, 3)}}}
    torch.save({**groups, "ema": {"state_dict": source.state_dict()}}, tmp_path / "w.pt")
    target = make()
    assert load_initial_weights(target, tmp_path / "w.pt").source == "ema.state_dict"
    assert equal(source, target)


def test_missing_and_mismatched_are_named_and_left_alone(tmp_path, source):
    state = source.state_dict()
    state["3.weight"] = torch.ones(2, 16)
    del state["3.bias"]
    torch.save(state, tmp_path / "w.pth")
    target = make()
    before = {name: t.clone() for name, t in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"3\.bias.*3\.weight \(2, 16\) for \(8, 16\)"):
        load_initial_weights(target, tmp_path / "w.pth")
    assert torch.equal(target[0].weight, before["0.weight"])
    report = load_initial_weights(target, tmp_path / "w.pth", min_match=0.5)
    assert report.mismatched == ("3.weight",)
    assert report.missing == ("3.bias",)
    assert torch.equal(target[3].weight, before["3.weight"])
    assert torch.equal(target[3].bias, before["3.bias"])
    assert torch.equal(target[0].weight, source[0].weight)
    assert report.to_dict()["mismatched"] == ["3.weight"]


def test_half_precision_files_fill_float32_parameters(tmp_path, source):
    torch.save(
        {n: t.half() if t.is_floating_point() else t for n, t in source.state_dict().items()},
        tmp_path / "w.pth",
    )
    target = make()
    load_initial_weights(target, tmp_path / "w.pth")
    assert torch.equal(target[0].weight, source[0].weight.half().float())


def test_too_few_matches_is_an_error_that_shows_both_sides(tmp_path, source):
    state = {"0.weight": source[0].weight.detach(), "stage1.conv": torch.ones(3)}
    torch.save(state, tmp_path / "w.pth")
    target = make()
    before = target[0].weight.detach().clone()
    with pytest.raises(CheckpointError, match=r"50% of 6 parameters.*0\.bias.*17%.*stage1\.conv"):
        load_initial_weights(target, tmp_path / "w.pth", min_match=0.5)
    with pytest.raises(CheckpointError, match=r"do not fill.*1 matched, 7 missing.*stage1\.conv"):
        load_initial_weights(target, tmp_path / "w.pth")
    assert torch.equal(target[0].weight, before)
    report = load_initial_weights(target, tmp_path / "w.pth", min_match=0.1)
    assert report.matched == ("0.weight",)


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file was run')",))


@pytest.mark.parametrize("content", [Payload(), {"state_dict": {"0.weight": Payload()}}])
def test_code_in_a_pickle_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="cannot be read as plain tensors"):
        load_initial_weights(make(), tmp_path / "w.pth")


class Custom(nn.Sequential):
    """Stands for a module whose class another program defines."""


FORMS = {
    "a whole module": lambda module: module,
    "a wrapped module": lambda module: {"model": module, "epoch": 3},
    "a list": lambda module: [module.state_dict(), {"lr": 0.1}],
    "NumPy numbers": lambda module: {"state_dict": module.state_dict(), "best": np.float64(0.5)},
    "NumPy arrays": lambda module: {"state_dict": module.state_dict(), "mean": np.ones(3)},
    "arguments": lambda module: {
        "args": argparse.Namespace(lr=0.1),
        "state_dict": module.state_dict(),
    },
    "parameters": lambda module: dict(module.named_parameters()) | dict(module.named_buffers()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("zipped", [True, False])
def test_forms_in_which_checkpoints_are_saved(tmp_path, form, zipped):
    source = Custom(*make(1))
    path = tmp_path / "w.pth.tar"
    torch.save(FORMS[form](source), path, _use_new_zipfile_serialization=zipped)
    target = make()
    if "module" in form and not zipped:
        with pytest.raises(CheckpointError, match="cannot be read as plain tensors"):
            load_initial_weights(target, path)
        return
    report = load_initial_weights(target, path)
    assert equal(source, target)
    assert report.summary() == "9 matched, 0 missing, 0 unexpected, 0 mismatched"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_archive_is_read_and_not_run(tmp_path, source, monkeypatch):
    traced = torch.jit.trace(source.eval(), torch.rand(2, 3, 4, 4))
    torch.jit.save(traced, str(tmp_path / "w.pt"))
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("ran the archive"))
    target = make()
    report = load_initial_weights(target, tmp_path / "w.pt")
    assert equal(source, target)
    assert (report.missing, report.unexpected) == ((), ())


def test_the_content_decides_and_not_the_suffix(tmp_path, source):
    save_file(source.state_dict(), tmp_path / "w.pt")
    target = make()
    load_initial_weights(target, tmp_path / "w.pt")
    assert equal(source, target)


def test_damaged_absent_and_foreign_files(tmp_path, source):
    torch.save(source.state_dict(), tmp_path / "w.pth")
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        data = (tmp_path / name).read_bytes()
        for size in (0, 5, len(data) // 2):
            (tmp_path / name).write_bytes(data[:size])
            with pytest.raises(CheckpointError, match=r"cannot be read"):
                load_initial_weights(make(), tmp_path / name)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="cut short"):
        load_initial_weights(make(), tmp_path / "w.pth")
    (tmp_path / "w.onnx").write_bytes(b"\x08\x09")
    (tmp_path / "txt.pt").write_text("epoch 3: loss 0.5\n")
    with pytest.raises(CheckpointError, match=r"found a text file.*check the path"):
        load_initial_weights(make(), tmp_path / "txt.pt")
    for name, message in (("gone.pth", "no weights file"), ("w.onnx", "unknown kind")):
        with pytest.raises(CheckpointError, match=message):
            load_initial_weights(make(), tmp_path / name)
    torch.save({"epoch": 1, 3: [torch.ones(1)]}, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match=r"no named tensors.*state_dict"):
        load_initial_weights(make(), tmp_path / "none.pth")


def test_values_that_are_not_finite_are_refused(tmp_path, source):
    source[3].bias.data[2] = float("nan")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    target = make()
    with pytest.raises(CheckpointError, match=r"NaN or infinite.*3\.bias"):
        load_initial_weights(target, tmp_path / "w.pth")
    assert not equal(source, target)


def test_a_model_starts_from_a_file_and_says_so(tmp_path, model, bank):
    state = {f"module.{name}": t for name, t in model.backbone.net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "faces.pth")
    torch.manual_seed(9)
    other = KE2NT(bank, "mobilenetv3_small_050", 32, weights=tmp_path / "faces.pth")
    assert equal(model.backbone, other.backbone)
    assert other.weight_report.prefix == "module."
    facts = other.provenance["initial_weights"]
    assert facts["source"] == "faces.pth"
    assert len(facts["sha256"]) == 64


def test_first_weights_are_passed_on(tmp_path, model, bank):
    torch.save(model.backbone.net.state_dict(), tmp_path / "faces.pth")
    first = KE2NT(bank, "mobilenetv3_small_050", 32, weights=tmp_path / "faces.pth")
    assert first.card["first_weights"] == ["faces.pth"]

    # a model that begins with the weights of a saved one began with those of the file
    first.save_pretrained(tmp_path / "first")
    weights = tmp_path / "first" / "model.safetensors"
    second = KE2NT(bank, "mobilenetv3_small_050", 32, weights=weights)
    second.save_pretrained(tmp_path / "second")
    assert load_model(tmp_path / "second").card["first_weights"] == ["faces.pth"]
    assert "**First weights**: faces.pth" in data_section(
        {"data": {"name": "drawn"}, **second.card}
    )

    # so do an average of two models, and one without any other weights
    cards = [{"data": {"name": "drawn"}}, first.card, {"first_weights": ["faces.pth", "b.pth"]}]
    assert blended_card(cards, {}, [], [])["first_weights"] == ["faces.pth", "b.pth"]
    assert "first_weights" not in blended_card(cards[:1], {}, [], [])


def test_a_saved_model_serves_as_initial_weights(tmp_path, model, linear):
    model.save_pretrained(tmp_path / "m")
    report = load_initial_weights(linear.backbone.net, tmp_path / "m" / "model.safetensors")
    assert equal(model.backbone, linear.backbone)
    assert report.missing == ()
    assert report.prefix == "backbone.net."
