"""Attention heads: what they compute, on four families of encoders; saving, words, export."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.errors import ModelError
from ke2nt.models.attention import AttentionBlock
from ke2nt.models.backbones import Backbone
from ke2nt.models.build import build_model
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model
from ke2nt.models.stages import StageMaps

FAMILIES = {
    "resnet18": {},
    "swin_tiny_patch4_window7_224": {
        "patch_size": 2,
        "window_size": 4,
        "embed_dim": 24,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 2, 4],
    },
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "mobilenetv3_small_050": {},
    "test_vit": {"patch_size": 8},
}
CLASSES = ("neutral", "happiness", "anger", "fear")


def deep(head="text", backbone="test_resnet", bank=None, **attention):
    options = FAMILIES.get(backbone, {})
    return build_model(
        {
            "head": head,
            "backbone": backbone,
            "image_size": 32,
            "backbone_options": options,
            "attention": attention,
        },
        bank=bank,
        classes=None if bank else CLASSES,
    )


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("head", ["text", "linear"])
def test_every_family_gives_stages_and_every_parameter_learns(backbone, head, bank, images):
    model = deep(head, backbone, bank if head == "text" else None)
    output = model(images)
    assert output.stages
    assert output.logits.shape == (2, 4)
    assert [stage.logits.shape for stage in output.stages] == [(2, 4)] * 3
    assert len(output.attention) == 3
    for maps, places in zip(model.backbone.maps(images), output.attention, strict=True):
        assert places.shape == (2, *maps.shape[2:])
        assert 0 <= places.min() <= places.max() <= 1
    sides = [places.shape[1] for places in output.attention]
    assert sides == sorted(sides, reverse=True)  # shallow to deep, NCHW whatever the family has
    parts = (output.logits, *(stage.logits for stage in output.stages))
    total = sum(logits.square().mean() for logits in parts)
    if head == "text":
        total = total + output.neutral_embeddings.square().mean()
    total.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_channel_then_spatial_attention_is_the_published_formula():
    block = AttentionBlock(6, reduction=2, kernel=3).double()
    maps = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    attended, places = block(maps)
    w = {name: p.detach().numpy() for name, p in block.named_parameters()}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def mlp(v):
        hidden = np.maximum(w["channel.down.weight"] @ v + w["channel.down.bias"], 0)
        return w["channel.up.weight"] @ hidden + w["channel.up.bias"]

    for image, got, where in zip(maps.numpy(), attended.detach(), places.detach(), strict=True):
        flat = image.reshape(6, -1)
        channel = image * sigmoid(mlp(flat.mean(1)) + mlp(flat.max(1)))[:, None, None]
        padded = np.pad(np.stack([channel.mean(0), channel.max(0)]), ((0, 0), (1, 1), (1, 1)))
        kernel, bias = w["spatial.conv.weight"][0], w["spatial.conv.bias"][0]
        expected = np.array(
            [
                [sigmoid((padded[:, i : i + 3, j : j + 3] * kernel).sum() + bias) for j in range(4)]
                for i in range(5)
            ]
        )
        np.testing.assert_allclose(where, expected, atol=1e-12)
        np.testing.assert_allclose(got, channel * expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["channel", "spatial", "none"])
def test_parts_of_the_block_can_be_left_out(kind):
    maps = torch.randn(2, 8, 3, 3)
    attended, places = AttentionBlock(8, kind)(maps)
    assert (places is not None) == (kind == "spatial")
    assert torch.equal(attended, maps) == (kind == "none")


def test_without_attention_and_with_one_stage_it_is_the_plain_model(bank, images):
    plain = KE2NT(bank, "resnet18", 32).eval()
    model = deep("text", "resnet18", bank, stages=1, block="none").eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(model(images).logits, plain(images).logits)
    assert model(images).attention == ()


def test_fused_text_logits_rank_as_the_weighted_cosines_do(bank, images):
    model = deep("text", bank=bank, fusion="fixed", fusion_weights=[1, 2, 5]).eval()
    output = model(images)
    summed = sum(w * s.logits for w, s in zip((1, 2, 5), output.stages, strict=True)) / 8
    length = output.embeddings.norm(dim=1, keepdim=True)
    torch.testing.assert_close(output.logits * length, summed)
    for stage in output.stages:
        torch.testing.assert_close(stage.embeddings.norm(dim=1), torch.ones(2))


def test_deeper_stages_weigh_twice_as_much_by_default(bank, images):
    model = deep("linear").eval()
    torch.testing.assert_close(model.fusion.weights, torch.tensor([1.0, 2.0, 4.0]) / 7)
    stages = [stage.logits for stage in model(images).stages]
    expected = (stages[0] + 2 * stages[1] + 4 * stages[2]) / 7
    torch.testing.assert_close(model(images).logits, expected)
    assert not [name for name in model.state_dict() if name.startswith("fusion")]

    equal = deep("text", bank=bank, stages=2, fusion="fixed")
    torch.testing.assert_close(equal.fusion.weights, torch.full((2,), 0.5))


def test_fused_linear_logits_are_the_weighted_sum_and_weights_learn(images):
    model = deep("linear", fusion="learned").eval()
    torch.testing.assert_close(model.fusion.weights, torch.full((3,), 1 / 3))
    output = model(images)
    torch.testing.assert_close(output.logits, sum(s.logits for s in output.stages) / 3)
    with torch.no_grad():
        model.fusion.scores.copy_(torch.tensor([0.0, 0.0, 50.0]))
    torch.testing.assert_close(model(images).logits, output.stages[-1].logits)


@pytest.mark.parametrize("head", ["text", "linear"])
def test_saving_and_loading_is_bit_exact(head, bank, images, tmp_path):
    bank = bank if head == "text" else None
    model = deep(head, bank=bank, stages=4, kernel=3, fusion="learned").eval()
    model.fusion.scores.data.uniform_()
    model.save_pretrained(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert type(loaded) is (KE2NT if head == "text" else LinearClassifier)
    before, after = model(images), loaded(images)
    assert torch.equal(before.logits, after.logits)
    for ours, theirs in zip(before.stages, after.stages, strict=True):
        assert torch.equal(ours.logits, theirs.logits)
    assert loaded.architecture == model.architecture


def test_other_words_reach_every_stage(bank, new_bank, images):
    model = deep("text", bank=bank).eval()
    before = model(images)
    words = new_bank(classes=("calm", "rage"), seed=2)
    model.set_bank(words)
    after = model(images)
    assert torch.equal(before.embeddings, after.embeddings)
    for stage in (after, *after.stages):
        assert stage.logits.shape == (2, 2)
        cosine = torch.nn.functional.normalize(stage.embeddings) @ words.embeddings.T
        torch.testing.assert_close(stage.logits, words.logit_scale * cosine)


def test_plain_models_keep_the_names_of_their_weights(bank):
    names = {name.split(".")[0] for name in KE2NT(bank, "test_resnet", 32).state_dict()}
    assert names == {"backbone", "projection", "transformation"}
    assert "attention" not in KE2NT(bank, "test_resnet", 32).architecture


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": 9}, "stages from 1 to 6"),
        ({"stages": 6}, "too few stages"),
        ({"kernel": 4}, "odd kernel"),
        ({"fusion_weights": [1, 1, 1]}, "unless fusion is fixed"),
        ({"fusion": "equal"}, "doubling, learned, fixed"),
        ({"fusion": "fixed", "fusion_weights": [1, 1]}, "one fusion weight for each stage"),
        ({"color": 1}, "color"),
    ],
)
def test_invalid_options_are_named(options, words):
    with pytest.raises(ModelError, match=words):
        deep("linear", **options)


def test_a_backbone_without_stages_is_refused():
    with pytest.raises(ModelError, match="does not give the feature maps"):
        StageMaps(Backbone(torch.nn.Flatten(), 4), 2, 32)


@pytest.mark.parametrize("head", ["text", "linear"])
@pytest.mark.parametrize(
    "fusion", [{"fusion_weights": [0, 1, 3], "fusion": "fixed"}, {"fusion": "learned"}]
)
def test_probabilities_are_averaged_over_the_stages(head, fusion, bank, images):
    bank = bank if head == "text" else None
    model = deep(head, bank=bank, average="probabilities", **fusion).double().eval()
    output = model(images.double())
    weights = [0, 0.25, 0.75] if fusion["fusion"] == "fixed" else [1 / 3] * 3
    for row in range(len(images)):
        expected = np.zeros(4)
        for weight, stage in zip(weights, output.stages, strict=True):
            exponentials = np.exp(stage.logits[row].detach().numpy())
            expected += weight * exponentials / exponentials.sum()
        np.testing.assert_allclose(output.logits[row].exp().detach(), expected, rtol=1e-9)
    output.logits[:, 0].sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_averaged_text_logits_keep_the_fused_embeddings(bank, images):
    model = deep("text", bank=bank, average="logits", fusion="fixed").eval()
    before = deep("text", bank=bank, fusion="fixed").eval()
    before.load_state_dict(model.state_dict())
    output, as_directions = model(images), before(images)
    mean = sum(stage.logits for stage in output.stages) / 3
    torch.testing.assert_close(output.logits, mean)
    torch.testing.assert_close(output.embeddings, as_directions.embeddings)


def test_a_linear_head_has_no_directions():
    with pytest.raises(ModelError, match="no directions"):
        deep("linear", average="directions")
