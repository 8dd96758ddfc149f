"""The two models: outputs against loops, precision, gradients, banks that change."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest
import torch

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import LabelError, ModelError
from ke2nt.losses import KE2NTLoss
from ke2nt.models.build import build_model
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.transformation import TransformationNetwork


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def test_logits_are_scaled_cosines_with_the_text(model, images, bank):
    logits, expression, neutral = model.eval()(images)
    assert logits.shape == (2, 4)
    assert expression.shape == neutral.shape == (2, 24)
    reference = [[50 * cosine(e, t) for t in bank.raw.tolist()] for e in expression.tolist()]
    torch.testing.assert_close(logits, torch.tensor(reference), rtol=1e-4, atol=1e-4)


def test_transformation_network_as_published():
    network = TransformationNetwork(512)
    assert [tuple(p.shape) for p in network.parameters()] == [
        (128, 512),
        (128,),
        (512, 128),
        (512,),
    ]
    x = torch.randn(3, 512)
    hidden = (x @ network.down.weight.T + network.down.bias).clamp(min=0)
    torch.testing.assert_close(network(x), hidden @ network.up.weight.T + network.up.bias)
    with pytest.raises(ModelError, match="reduction"):
        TransformationNetwork(8, 9)


def test_projection_only_where_the_width_differs(model, new_bank):
    assert model.projection.weight.shape == (24, model.backbone.width)
    same = KE2NT(new_bank(dim=model.backbone.width), "mobilenetv3_small_050", 32)
    assert isinstance(same.projection, torch.nn.Identity)


def test_every_parameter_learns_from_the_objective(model, images):
    total, _ = KE2NTLoss()(model(images), torch.tensor([1, 2]), model.bank)
    total.backward()
    still = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert still == []
    assert all(p.grad.abs().sum() > 0 for p in model.transformation.parameters())


def test_swin_t_at_112_gives_finite_output(bank):
    model = KE2NT(bank, "swin_t").eval()
    with torch.inference_mode():
        output = model(torch.randn(1, 3, 112, 112))
    assert all(tensor.isfinite().all() for tensor in output)


def test_head_stays_in_float32_under_autocast(model, linear, images):
    for net in (model.eval(), linear.eval()):
        features = net.features(images)
        net.backbone.forward = lambda _, features=features: features.bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            low = net(images)
        net.backbone.forward = lambda _, features=features: features.bfloat16().float()
        reference = net(images)
        for a, b in zip(low, reference, strict=True):
            if a is not None:
                assert a.dtype == torch.float32
                torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_whole_model_in_bfloat16_keeps_float32_logits_and_an_exact_bank(model, images, bank):
    model.bfloat16().eval()
    output = model(images.bfloat16())
    assert output.logits.dtype == torch.float32
    assert output.embeddings.dtype == torch.bfloat16
    assert torch.equal(model.bank.raw, bank.raw)


def test_evaluation_is_deterministic_and_dropout_is_not(bank, images):
    model = KE2NT(bank, "mobilenetv3_small_050", 32, dropout=0.5)
    assert not torch.equal(model(images).logits, model(images).logits)
    model.eval()
    assert torch.equal(model(images).logits, model(images).logits)
    torch.testing.assert_close(
        model(images).logits[:1], model(images[:1]).logits, rtol=1e-4, atol=1e-4
    )


def test_the_bank_is_frozen_and_no_part_of_the_state(model):
    assert not [name for name in model.state_dict() if "text" in name or "bank" in name]
    assert not model.text_embeddings.requires_grad
    assert "text_embeddings" in dict(model.named_buffers())


def test_copies_are_independent(model, images):
    twin = copy.deepcopy(model).eval()
    before = twin(images).logits
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(twin(images).logits, before)
    assert twin.classes == model.classes
    again = pickle.loads(pickle.dumps(twin))
    assert torch.equal(again(images).logits, before)


def test_classes_change_after_training(model, images, new_bank):
    words = ("calm", "delight", "rage", "dread", "boredom")
    other = new_bank(classes=words, scale=20.0, seed=8)
    expression = model.eval()(images).embeddings
    model.set_bank(other)
    logits, same, _ = model(images)
    assert model.classes == words
    assert torch.equal(same, expression)
    reference = 20 * torch.nn.functional.cosine_similarity(
        expression[:, None], other.raw[None], dim=2
    )
    torch.testing.assert_close(logits, reference, rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelError, match=r"another width; expected 24.*found 25"):
        model.set_bank(new_bank(dim=25))


def test_logit_scale_given_followed_or_learned(bank, images, new_bank):
    given = KE2NT(bank, "mobilenetv3_small_050", 32, logit_scale=7)
    assert given.logit_scale == 7
    given.set_bank(new_bank(scale=3.0))
    assert given.logit_scale == 7
    learned = KE2NT(bank, "mobilenetv3_small_050", 32, learn_logit_scale=True)
    assert learned.logit_scale.item() == pytest.approx(50)
    learned(images).logits[0, 0].backward()
    assert learned.log_logit_scale.grad != 0
    for scale in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ModelError, match="logit_scale"):
            KE2NT(bank, "mobilenetv3_small_050", 32, logit_scale=scale)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 32, 32),
        torch.zeros(2, 1, 32, 32),
        torch.zeros(2, 3, 48, 48),
        torch.zeros(2, 32, 32, 3),
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
    ],
)
def test_mismatched_images_are_refused(model, linear, wrong):
    for net in (model, linear):
        with pytest.raises(ModelError, match=r"\(batch, 3, 32, 32\); found"):
            net(wrong)


def test_linear_head(linear, images):
    logits, features, neutral = linear.eval()(images)
    assert neutral is None
    assert linear.bank is None
    expected = features @ linear.classifier.weight.T + linear.classifier.bias
    torch.testing.assert_close(logits, expected)
    total, _ = KE2NTLoss((1, 0, 0))(linear(images), torch.tensor([1, 2]), linear.bank)
    total.backward()
    assert all(p.grad is not None for p in linear.parameters())
    for classes in ((), ("fear", "fear")):
        with pytest.raises(LabelError, match="missing or repeated"):
            LinearClassifier(classes, "mobilenetv3_small_050", 32)


def test_architecture_is_json_and_rebuilds_the_model(bank, images):
    model = KE2NT(
        bank,
        "resnet18",
        32,
        stem="small",
        drop_path=0.1,
        backbone_options={"block_args": {}},
        reduction=3,
        learn_logit_scale=True,
        dropout=0.2,
    )
    described = json.loads(json.dumps(model.architecture))
    twin = build_model(described, bank=bank)
    assert isinstance(twin, KE2NT)
    assert twin.architecture == model.architecture
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.eval()(images).logits, model.eval()(images).logits)


def test_build_model_names_what_is_wrong(bank):
    small = {"backbone": "mobilenetv3_small_050", "image_size": 32}
    assert build_model(small, head="linear", bank=bank).classes == bank.classes
    with pytest.raises(ModelError, match=r"unknown option 'backbon'.*Did you mean 'backbone'"):
        build_model({"backbon": "resnet18"}, bank=bank)
    with pytest.raises(ModelError, match=r"unknown option 'reduction' of a linear head"):
        build_model({**small, "head": "linear", "reduction": 4}, classes=("a", "b"))
    with pytest.raises(ModelError, match="unknown head 'txt'"):
        build_model(small, head="txt", bank=bank)
    with pytest.raises(ModelError, match="needs a text bank"):
        build_model(small, classes=("a", "b"))
    with pytest.raises(LabelError, match="label sets differ"):
        build_model(small, bank=bank, classes=("a", "b"))
    with pytest.raises(LabelError, match="missing or repeated"):
        build_model(small, head="linear")


def test_preprocessing_belongs_to_the_model(bank):
    own = Preprocessing(32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), gray=True)
    model = KE2NT(bank, "mobilenetv3_small_050", 32, preprocessing=own)
    assert model.preprocessing == own
    model(model.preprocessing.normalize(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)))
    with pytest.raises(ModelError, match="differ in image size"):
        KE2NT(bank, "mobilenetv3_small_050", 64, preprocessing=own)
    with pytest.raises(ModelError, match="dropout"):
        KE2NT(bank, "mobilenetv3_small_050", 32, dropout=1.0)


def test_preprocessing_follows_the_weights_of_timm(bank, monkeypatch):
    import timm

    build = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained=False, **options: build(name, **options)
    )
    model = KE2NT(bank, "vit_tiny_patch16_224", 32, weights="timm", backbone_options={"depth": 1})
    assert model.preprocessing == Preprocessing(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert model.provenance["initial_weights"] == {"source": "timm"}
