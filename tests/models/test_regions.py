"""Features of four corners over any backbone."""

from __future__ import annotations

import pytest
import torch

from ke2nt.errors import ModelError
from ke2nt.models.backbones import create_backbone
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.regions import corner_means, corner_side, feature_map


def test_corners_are_five_of_seven_and_in_proportion():
    assert [corner_side(side) for side in (7, 14, 3, 2, 1)] == [5, 10, 2, 1, 1]


def test_corner_means_are_those_of_plain_slices():
    cells = torch.randn(2, 3, 7, 7)
    parts = corner_means(cells).view(2, 4, 3)
    for n, (top, left) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        slow = cells[:, :, top : top + 5, left : left + 5].mean(dim=(2, 3))
        torch.testing.assert_close(parts[:, n], slow)


def test_all_layouts_become_channels_first():
    cells = torch.randn(2, 3, 4, 4)
    last = cells.permute(0, 2, 3, 1)
    assert torch.equal(feature_map(cells, channels_last=False, prefix=0), cells)
    assert torch.equal(feature_map(last, channels_last=True, prefix=0), cells)
    tokens = torch.cat([torch.zeros(2, 1, 3), last.flatten(1, 2)], dim=1)
    assert torch.equal(feature_map(tokens, channels_last=False, prefix=1), cells)
    for wrong in (tokens, torch.randn(2, 5)):
        with pytest.raises(ModelError, match="no feature map"):
            feature_map(wrong, channels_last=False, prefix=0)


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet", 48), ("test_vit", 160), ("test_convnext", 64), ("swin_t", 56)],
)
def test_a_backbone_gives_the_whole_face_first_then_its_corners(name, size):
    whole = create_backbone(name, image_size=size).eval()
    regional = create_backbone(name, image_size=size, regions=True).eval()
    regional.net.load_state_dict(whole.net.state_dict())
    images = torch.randn(1, 3, size, size)
    features, local = whole(images), regional(images)
    assert local.shape == (1, regional.width)
    assert regional.width == 5 * whole.width
    torch.testing.assert_close(local[:, : whole.width], features)
    # a change in the last corner of the image moves the last corner's features the most
    images[..., size // 2 :, size // 2 :] += 2
    moved = (regional(images) - local)[:, whole.width :].view(4, -1).abs().sum(dim=1)
    assert moved.argmax() == 3


def test_each_corner_has_a_branch_of_its_own():
    torch.manual_seed(0)
    backbone = create_backbone("test_resnet", image_size=64, regions="learned").eval()
    whole = backbone.width - 4 * 512
    images = torch.randn(2, 3, 64, 64)
    features = backbone(images)
    torch.testing.assert_close(features[:, :whole], backbone.net(images))

    # three times convolution, normalization and ReLU, and a linear layer on the mean
    cells = backbone.cells(backbone.net.forward_features(images))
    side = corner_side(cells.shape[2])
    for n, branch in enumerate(backbone.corners.branches):
        rows = cells[:, :, :side] if n < 2 else cells[:, :, -side:]
        x = rows[..., :side] if n % 2 == 0 else rows[..., -side:]
        for convolution, norm in zip(branch[0:9:3], branch[1:9:3], strict=True):
            x = torch.relu(norm(torch.conv2d(x, convolution.weight, padding=1)))
        slow = branch[-1](x.mean(dim=(2, 3)))
        torch.testing.assert_close(features[:, whole + 512 * n : whole + 512 * (n + 1)], slow)
    assert len({id(p) for p in backbone.corners.parameters()}) == 4 * (3 * 3 + 2)


def test_unknown_regions_are_refused():
    with pytest.raises(ModelError, match=r"expected learned, mean, true or false; found corner"):
        create_backbone("test_resnet", image_size=32, regions="corner")


@pytest.mark.parametrize(("regions", "width"), [(True, 5 * 96), ("learned", 96 + 4 * 512)])
def test_a_model_with_regions_is_saved_and_loaded(tmp_path, regions, width):
    model = LinearClassifier(["a", "b"], "test_resnet", 32, backbone_options={"regions": regions})
    model.save_pretrained(tmp_path / "model")
    again = LinearClassifier.from_pretrained(tmp_path / "model")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(images).logits, model.eval()(images).logits)
    assert again.backbone.width == width
