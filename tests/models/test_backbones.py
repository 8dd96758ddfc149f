"""Families of timm models, their sizes and stems, and the errors for what does not exist."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.backbones import create_backbone

FAMILIES = [
    ("resnet18", 32, {}),
    ("convnext_atto", 32, {}),
    ("mobilenetv3_small_050", 32, {}),
    ("vit_tiny_patch16_224", 32, {"patch_size": 8, "depth": 2}),
    ("swin_t", 32, {"depths": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize(("name", "size", "options"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_families_give_pooled_finite_features_and_gradients(name, size, options):
    backbone = create_backbone(name, image_size=size, **options)
    assert backbone.training
    features = backbone(torch.randn(2, 3, size, size))
    assert features.shape == (2, backbone.width)
    assert features.isfinite().all()
    features.square().sum().backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


def test_swin_t_as_published():
    net = create_backbone("swin_t", image_size=112).net
    assert net.patch_embed.patch_size == (2, 2)
    assert net.patch_embed.grid_size == (56, 56)
    assert [len(stage.blocks) for stage in net.layers] == [2, 2, 6, 2]
    assert net.embed_dim == 96
    assert {block.window_size for stage in net.layers for block in stage.blocks} == {(7, 7)}


@pytest.mark.parametrize(
    ("size", "window"), [(112, 7), (64, 8), (48, 6), (96, 6), (80, 5), (72, 7)]
)
def test_swin_window_divides_the_grids_where_one_can(size, window):
    net = create_backbone("swin_t", image_size=size, embed_dim=12, depths=(1, 1, 1, 1)).net
    assert net.layers[0].blocks[0].window_size == (window, window)


def test_stems_of_the_resnet_family():
    sizes = {}
    for stem in ("standard", "no_pool", "small"):
        net = create_backbone("resnet18", image_size=32, stem=stem).net.eval()
        sizes[stem] = net.forward_features(torch.zeros(1, 3, 32, 32)).shape[-1]
    assert sizes == {"standard": 1, "no_pool": 2, "small": 4}
    assert isinstance(net.maxpool, nn.Identity)
    assert net.conv1.kernel_size == (3, 3)
    assert net.conv1.stride == (1, 1)


def test_drop_path_and_channels_are_passed_on():
    net = create_backbone("resnet18", image_size=32, drop_path=0.3, in_chans=1, stem="small").net
    assert net.conv1.in_channels == 1
    assert net.layer4[1].drop_path.drop_prob == pytest.approx(0.3)


def test_building_leaves_batch_statistics_untouched():
    net = create_backbone("resnet18", image_size=32).net
    assert net.bn1.num_batches_tracked == 0
    assert torch.equal(net.bn1.running_mean, torch.zeros(64))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet81", {}, "unknown backbone 'resnet81'.*Did you mean resnet18"),
        ("swin_tt", {}, "Did you mean swin_t"),
        ("hf-hub:someone/model", {}, "unknown backbone"),
        ("resnet18", {"stem": "tiny"}, "no stem 'tiny'"),
        ("convnext_atto", {"stem": "small"}, "no stem 'small'.*ResNet family"),
        ("resnet18", {"color": 1}, "color"),
        ("vgg11", {"drop_path": 0.1, "feature_window_size": 1}, "drop_path_rate"),
        (
            "vit_tiny_patch16_224",
            {"depth": 1, "image_size": 40},
            "divisible by the patch size.*multiple of 16",
        ),
        ("resnet18", {"checkpoint_path": "x.pth"}, "may not set checkpoint_path"),
        ("resnet18", {"global_pool": ""}, "no pooled features"),
    ],
)
def test_wrong_names_and_options(name, options, message):
    with pytest.raises(ModelError, match=message):
        create_backbone(name, **{"image_size": 32, **options})


def test_unavailable_pretrained_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"weights of 'resnet18\.a1_in1k' are not available"):
        create_backbone("resnet18.a1_in1k", image_size=32, pretrained=True)
