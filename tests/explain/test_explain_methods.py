"""Every method finds the place that a model looks at; targets are classes or phrases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bright_faces import CORNER, SIZE

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, MissingExtraError, ModelError
from ke2nt.explain import gradcam
from ke2nt.explain.attention_map import compute_attention_map
from ke2nt.explain.checks import compute_deletion_insertion, compute_region_share, draw_random_map
from ke2nt.explain.gradcam import compute_gradcam_map
from ke2nt.explain.heat import forward_faces, score_faces
from ke2nt.explain.method_names import METHOD_NAMES
from ke2nt.explain.methods import METHODS, get_method
from ke2nt.explain.occlusion import compute_occlusion_map
from ke2nt.explain.target import Target, log_odds
from ke2nt.models.build import build_model
from ke2nt.models.ke2nt import KE2NT

REGION = np.zeros((SIZE, SIZE), bool)
REGION[CORNER] = True


@pytest.mark.parametrize("method", [compute_gradcam_map, compute_occlusion_map])
def test_decisive_region_is_found(method, sees_brightness, crop):
    heat = method(sees_brightness, crop, Target.from_class(sees_brightness, "happiness"))
    assert heat.shape == (SIZE, SIZE)
    assert heat.dtype == np.float32
    share = compute_region_share(heat, REGION)
    assert share > 0.5 > 4 * REGION.mean()  # its area is a ninth
    assert REGION[np.unravel_index(heat.argmax(), heat.shape)]


def test_evidence_against_a_class_is_negative(sees_brightness, crop):
    heat = compute_occlusion_map(sees_brightness, crop, Target.from_class(sees_brightness, "anger"))
    assert heat[CORNER].mean() < -0.1
    assert abs(heat[30:, :16]).max() < abs(heat[CORNER]).max()


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("resnet18", {}),
        ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}),
        (
            "swin_tiny_patch4_window7_224",
            {
                "patch_size": 2,
                "window_size": 3,
                "embed_dim": 24,
                "depths": [1, 1, 1, 1],
                "num_heads": [1, 2, 2, 4],
            },
        ),
        ("test_vit", {"patch_size": 8}),
        ("mobilenetv3_small_050", {}),
    ],
)
@pytest.mark.parametrize("attention", [None, {"stages": 2}])
def test_gradcam_works_on_convolutions_and_transformers(backbone, options, attention, bank, crop):
    architecture = {
        "backbone": backbone,
        "image_size": SIZE,
        "backbone_options": options,
        "attention": attention,
    }
    model = build_model(architecture, bank=bank).eval()

    # two targets, two maps
    heats = [
        compute_gradcam_map(model, crop, Target.from_class(model, name))
        for name in ("happiness", "anger")
    ]
    for heat in heats:
        assert heat.shape == (SIZE, SIZE)
        assert 0 <= heat.min() <= heat.max() <= 1
    assert max(heat.max() for heat in heats) > 0.9  # there was a gradient
    assert not np.array_equal(*heats)


def test_attention_is_the_weighted_sum_of_the_rescaled_stages(deep, crop):
    heat = compute_attention_map(deep, crop, Target.from_class(deep, "anger"))
    assert heat.shape == (SIZE, SIZE)
    with torch.no_grad():
        deep.fusion.scores.copy_(torch.tensor([60.0, 0.0, 0.0]))  # the shallowest stage alone
    first = compute_attention_map(deep, crop, Target.from_class(deep, "anger"))
    places = forward_faces(deep, crop[None]).attention[0][0].detach()
    cell = SIZE // places.shape[0]
    middles = first[cell // 2 :: cell, cell // 2 :: cell]
    rank = np.corrcoef(middles.ravel(), places.numpy().ravel())[0, 1]
    assert rank > 0.95
    assert not np.allclose(first, heat)


def test_attention_map_needs_a_model_with_attention(bank, sees_brightness, crop):
    without = KE2NT(bank, "test_resnet", SIZE, attention={"block": "channel"}).eval()
    for model in (sees_brightness, without):
        with pytest.raises(ModelError, match="no spatial attention"):
            compute_attention_map(model, crop, Target.from_class(model, "anger"))


def test_class_score_is_its_log_odds(deep, crop):
    logits = forward_faces(deep, crop[None]).logits
    score = score_faces(deep, crop[None], Target.from_class(deep, "anger"))
    torch.testing.assert_close(score, log_odds(logits, 2).detach().double())
    with pytest.raises(ModelError, match="no class 'rage'"):
        Target.from_class(deep, "rage")


def test_phrase_score_is_relative_to_the_classes(deep, crop):
    words = TextBank.from_tensors(
        torch.randn(1, 16),
        classes=("raised inner brows",),
        neutral_index=None,
        logit_scale=20.0,
        neutral=torch.randn(16),
    )
    target = Target.from_phrase(deep, "raised inner brows", words)

    # cosine with the phrase over that with the average class
    face = torch.nn.functional.normalize(forward_faces(deep, crop[None]).embeddings)[0]
    classes = sum(face @ row for row in deep.bank.embeddings) / 3
    expected = 20 * (face @ words.embeddings[0] - classes)
    score = score_faces(deep, crop[None], target)
    torch.testing.assert_close(score[0].float(), expected.detach())
    assert np.ptp(compute_occlusion_map(deep, crop, target)) > 0
    assert compute_gradcam_map(deep, crop, target).shape == (SIZE, SIZE)


def test_linear_head_accepts_no_phrases(sees_brightness, bank):
    with pytest.raises(ModelError, match="accepts no phrases"):
        Target.from_phrase(sees_brightness, "raised inner brows", bank)


def test_curves_reward_the_right_map(sees_brightness, crop):
    target = Target.from_class(sees_brightness, "happiness")
    right = compute_deletion_insertion(sees_brightness, crop, target, REGION.astype(float))
    wrong = compute_deletion_insertion(sees_brightness, crop, target, -REGION.astype(float))
    assert right.deletion_area < wrong.deletion_area
    assert right.insertion_area > wrong.insertion_area
    whole = forward_faces(sees_brightness, crop[None]).logits.softmax(dim=1)[0, 1].item()
    assert right.deletion[0] == right.insertion[-1] == pytest.approx(whole)
    assert right.deletion[-1] == pytest.approx(right.insertion[0])  # everything is one color
    assert len(right.deletion) == 17


def test_region_share_of_known_maps():
    assert compute_region_share(REGION.astype(float), REGION) == 1
    assert compute_region_share(-np.ones((SIZE, SIZE)), REGION) == pytest.approx(REGION.mean())
    half = np.where(REGION, 3.0, 0.0)
    half[40:, :8] = 3.0
    assert compute_region_share(half, REGION) == pytest.approx(256 / (256 + 64))


def test_random_maps_are_repeatable_and_differ():
    assert np.array_equal(draw_random_map(32, "a"), draw_random_map(32, "a"))
    assert not np.array_equal(draw_random_map(32, "a"), draw_random_map(32, "b"))


def test_methods_by_name(monkeypatch, deep, crop):
    assert tuple(METHODS) == METHOD_NAMES == ("attention", "gradcam", "occlusion")
    with pytest.raises(ConfigError, match=r"[Dd]id you mean"):
        get_method("gradcan")

    def absent(*args, **kwargs):
        raise MissingExtraError("grad-cam", extra="explain", purpose="Grad-CAM")

    monkeypatch.setattr(gradcam, "import_optional", absent)
    with pytest.raises(MissingExtraError, match="explain"):
        compute_gradcam_map(deep, crop, Target.from_class(deep, "anger"))
