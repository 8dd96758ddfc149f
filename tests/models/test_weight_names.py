"""Weights files under the names of other programs, with the output of the network they are from."""

from __future__ import annotations

import math
import re

import open_clip
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.initial_weights import load_initial_weights
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.backbones import create_backbone
from ke2nt.models.iresnet import IRESNETS, IResNet
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier

SWIN = {"embed_dim": 24}
DIM = 12
NARROW = (8, 8, 8, 8)


def randomized(module, seed=3):
    """The module with random values everywhere, statistics of batches included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) * 0.2 + 0.05)
    return module.eval()


@pytest.fixture(scope="module")
def text():
    raw = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    return TextBank.from_tensors(raw, classes=["neutral", "a", "b"], neutral_index=0, logit_scale=9)


def outputs_match(net, source, size):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(images), source(images), rtol=1e-4, atol=1e-5)


# ---- ResNets


@pytest.fixture(scope="module")
def resnet():
    return randomized(torchvision.models.resnet18(num_classes=7))


def without_classifier(resnet):
    return nn.Sequential(*list(resnet.children())[:-1], nn.Flatten())


def numbered(state):
    """As FER repositories cut it: `features = Sequential(*children)`, inside DataParallel."""
    parts = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    renamed = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        key = f"features.{parts[first]}.{rest}" if first in parts else name
        renamed[f"module.{key}"] = tensor
    return renamed


RESNET_FORMS = {
    "torchvision": lambda state: state,
    "MS-Celeb": lambda state: {
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "best_prec1": torch.tensor(88.0),
    },
    "before batch counters": lambda state: {
        name: tensor for name, tensor in state.items() if "num_batches_tracked" not in name
    },
    "Sequential": lambda state: {"model_state_dict": numbered(state)},
}


@pytest.mark.parametrize("form", RESNET_FORMS)
def test_resnets_of_torchvision_and_face_repositories(tmp_path, resnet, form):
    torch.save(RESNET_FORMS[form](resnet.state_dict()), tmp_path / "w.pth.tar")
    net = create_backbone("resnet18", image_size=32).net
    report = load_initial_weights(net, tmp_path / "w.pth.tar")
    assert report.missing == report.mismatched == ()
    assert {re.split(r"[.]", name)[-2] for name in report.unexpected} == {"fc"}
    outputs_match(net, without_classifier(resnet), 32)


# ---- InsightFace's IResNet, written once more from its layers


class TinyIResNet(nn.Module):
    def __init__(self, width, side, embedding):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1, self.prelu = nn.BatchNorm2d(width), nn.PReLU(width)
        inside = width
        for stage in range(4):
            outside = width << stage
            blocks = []
            for number in range(2):
                block = nn.Module()
                block.stride = 2 if number == 0 else 1
                block.bn1 = nn.BatchNorm2d(inside)
                block.conv1 = nn.Conv2d(inside, outside, 3, 1, 1, bias=False)
                block.bn2, block.prelu = nn.BatchNorm2d(outside), nn.PReLU(outside)
                block.conv2 = nn.Conv2d(outside, outside, 3, block.stride, 1, bias=False)
                block.bn3 = nn.BatchNorm2d(outside)
                if number == 0:
                    down = nn.Conv2d(inside, outside, 1, 2, bias=False)
                    block.downsample = nn.Sequential(down, nn.BatchNorm2d(outside))
                blocks.append(block)
                inside = outside
            setattr(self, f"layer{stage + 1}", nn.ModuleList(blocks))
        self.bn2 = nn.BatchNorm2d(inside)
        self.fc = nn.Linear(inside * side * side, embedding)
        self.features = nn.BatchNorm1d(embedding)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for b in stage:
                y = b.bn3(b.conv2(b.prelu(b.bn2(b.conv1(b.bn1(x))))))
                x = y + (b.downsample(x) if b.stride == 2 else x)
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


@pytest.mark.parametrize(("size", "side"), [(32, 2), (40, 3)])
def test_iresnets_of_insightface(tmp_path, size, side):
    source = randomized(TinyIResNet(4, side, 6))
    torch.save(source.state_dict(), tmp_path / "backbone.pth")
    options = {"width": 4, "embedding": 6}
    backbone = create_backbone("iresnet18", image_size=size, **options)
    report = load_initial_weights(backbone.net, tmp_path / "backbone.pth")
    assert report.missing == report.unexpected == report.mismatched == ()
    assert backbone.width == 6
    outputs_match(backbone.net, source, size)


def test_face_networks_bring_their_statistics_and_are_checked(text):
    options = {"width": 4, "embedding": DIM}
    model = KE2NT(text, "iresnet18", 32, backbone_options=options)
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)
    assert isinstance(model.projection, nn.Identity)
    with pytest.raises(ModelError, match=r"width, embedding.*depth"):
        create_backbone("iresnet18", image_size=32, depth=3)
    with pytest.raises(ModelError, match="does not support stem=small"):
        create_backbone("iresnet18", image_size=32, stem="small")
    with pytest.raises(ModelError, match="too small"):
        create_backbone("iresnet50", image_size=8)
    with pytest.raises(ModelError, match=r"Did you mean .*iresnet200"):
        create_backbone("iresnet20O", image_size=32)


# ---- Swin


def original_swin_names(state):
    """Patch merging belongs to the stage before it; masks and indices are buffers."""
    renamed = {}
    for name, tensor in state.items():
        stage = re.match(r"layers\.(\d)\.downsample\.", name)
        if stage:
            name = name.replace(stage[0], f"layers.{int(stage[1]) - 1}.downsample.")
        renamed[name] = tensor
    return renamed | {
        "layers.0.blocks.1.attn_mask": torch.zeros(16, 49, 49),
        "layers.0.blocks.1.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.long),
    }


@pytest.fixture(scope="module")
def swin():
    return randomized(create_backbone("swin_t", image_size=112, **SWIN).net)


def published_neck(width=192):
    return randomized(
        nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, DIM, bias=False),
            nn.BatchNorm1d(DIM, eps=2e-5),
        ),
        seed=4,
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory, swin):
    """A small copy of the published KE2NT's file."""
    neck = {f"feature.{name}": tensor for name, tensor in published_neck().state_dict().items()}
    path = tmp_path_factory.mktemp("published") / "ke2nt.pth"
    state = original_swin_names(swin.state_dict()) | neck
    torch.save({"state_dict_backbone": state, "epoch": 50}, path)
    return path


def test_the_published_file_fills_encoder_and_neck(published, text, swin):
    model = KE2NT(
        text, "swin_t", 112, projection="neck", backbone_options=SWIN, weights=published
    ).eval()
    report = model.weight_report
    assert report.missing == report.unexpected == report.mismatched == ()
    assert (report.source, report.names) == ("state_dict_backbone", "Swin")

    images = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        embeddings = published_neck()(swin(images))
        torch.testing.assert_close(model(images).embeddings, embeddings, rtol=1e-4, atol=1e-5)
    facts = model.provenance["initial_weights"]
    assert facts["report"]["unexpected"] == []
    assert facts["summary"].endswith("0 missing, 0 unexpected, 0 mismatched")


def test_a_neck_is_not_dropped_without_a_word(published, text, tmp_path):
    with pytest.raises(CheckpointError, match=r"feature\.0\.weight.*model\.projection=neck"):
        KE2NT(text, "swin_t", 112, backbone_options=SWIN, weights=published)
    with pytest.raises(CheckpointError, match="a neck behind the image encoder"):
        LinearClassifier(["a", "b"], "swin_t", 112, backbone_options=SWIN, weights=published)
    model = KE2NT(text, "swin_t", 112, backbone_options=SWIN, weights=published, min_match=1.0)
    assert "feature.0.weight" in model.weight_report.unexpected

    # a neck of another text space
    state = torch.load(published)
    state["state_dict_backbone"]["feature.2.weight"] = torch.ones(DIM + 1, 192)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"feature\.2\.weight \(13, 192\) for \(12, 192\)"):
        KE2NT(
            text,
            "swin_t",
            112,
            projection="neck",
            backbone_options=SWIN,
            weights=tmp_path / "w.pth",
        )


def test_a_neck_does_not_stay_random_without_a_word(swin, text, tmp_path):
    torch.save({"state_dict_backbone": original_swin_names(swin.state_dict())}, tmp_path / "w.pth")
    options = {"projection": "neck", "backbone_options": SWIN, "weights": tmp_path / "w.pth"}
    with pytest.raises(CheckpointError, match=r"have no neck.*feature\.0\.weight.*min_match=1"):
        KE2NT(text, "swin_t", 112, **options)
    report = KE2NT(text, "swin_t", 112, min_match=1.0, **options).weight_report
    assert "feature.0.weight" in report.missing
    assert not [name for name in report.missing if not name.startswith("feature.")]


def test_original_swin_files_of_imagenet(tmp_path):
    options = {"embed_dim": 24, "patch_size": 4, "window_size": 7}
    net = create_backbone("swin_t", image_size=112, **options).net
    source = randomized(create_backbone("swin_t", image_size=112, **options).net, seed=8)
    state = original_swin_names(source.state_dict()) | {"head.weight": torch.ones(5, 192)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    report = load_initial_weights(net, tmp_path / "swin.pth")
    assert report.missing == report.mismatched == ()
    assert report.unexpected == ("head.weight",)
    outputs_match(net, source, 112)

    # patches of another size are named with both shapes
    other = create_backbone("swin_t", image_size=112, **SWIN).net
    shapes = r"3 mismatched.*patch_embed\.proj\.weight \(24, 3, 4, 4\) for \(24, 3, 2, 2\)"
    with pytest.raises(CheckpointError, match=shapes):
        load_initial_weights(other, tmp_path / "swin.pth")


# ---- CLIP


class Archive(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.visual = model.visual

    def forward(self, images):
        return images * 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("form", ["archive", "state dict", "safetensors"])
def test_the_image_tower_of_clip(tmp_path, form):
    tower = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
    words = {"context_length": 4, "vocab_size": 9, "width": 8, "heads": 1, "layers": 1}
    clip = randomized(open_clip.CLIP(6, tower, words, quick_gelu=True))
    if form == "archive":
        torch.jit.save(torch.jit.trace(Archive(clip), torch.rand(1)), str(tmp_path / "w.pt"))
    elif form == "state dict":
        torch.save({"state_dict": clip.state_dict()}, tmp_path / "w.pt")
    else:
        save_file(clip.state_dict(), tmp_path / "w.pt")

    options = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}
    name = "vit_base_patch32_clip_quickgelu_224"
    net = create_backbone(name, image_size=32, **options).net
    report = load_initial_weights(net, tmp_path / "w.pt")
    assert report.names == "CLIP"
    assert report.missing == report.mismatched == ()
    clip.visual.proj = None
    outputs_match(net, clip.visual, 32)


# ---- other networks


def test_a_file_of_another_network_says_what_fits(tmp_path, swin):
    torch.save(swin.state_dict(), tmp_path / "swin.pth")
    net = timm.create_model("resnet10t", num_classes=0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = r"0 matched, \d+ missing, 171 unexpected.*missing: conv1.*also has patch_embed"
    with pytest.raises(CheckpointError, match=found):
        load_initial_weights(net, tmp_path / "swin.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("made_with", "asked_for"), [("resnet34", "resnet18"), ("seresnet18", "resnet18")]
)
def test_a_file_with_more_layers_is_refused(tmp_path, made_with, asked_for):
    larger, net = (timm.create_model(n, channels=NARROW) for n in (made_with, asked_for))
    torch.save(larger.state_dict(), tmp_path / "w.pth")
    net.reset_classifier(0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another network.*more: layer1\..*min_match=1"):
        load_initial_weights(net, tmp_path / "w.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())

    # what is not wanted can be left out on request
    report = load_initial_weights(net, tmp_path / "w.pth", min_match=1)
    assert not report.missing
    assert "fc.weight" in report.unexpected


def test_a_deeper_iresnet_is_refused(tmp_path):
    deeper, net = (
        IResNet(IRESNETS[name], 112, width=4, embedding=8) for name in ("iresnet50", "iresnet18")
    )
    torch.save(deeper.state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"another network.*layer1\.2\."):
        load_initial_weights(net, tmp_path / "w.pth")


@pytest.mark.parametrize("attention", [None, {"stages": 2}])
def test_a_neck_learns_and_is_saved(tmp_path, text, attention):
    options = {"projection": "neck", "attention": attention}
    model = KE2NT(text, "mobilenetv3_small_050", 32, **options)
    assert [type(layer).__name__ for layer in model.projection] == [
        *("Linear", "BatchNorm1d", "Linear", "BatchNorm1d")
    ]
    assert model.projection[0].bias is model.projection[2].bias is None
    assert model.projection[1].eps == model.projection[3].eps == 2e-5

    images = torch.rand(4, 3, 32, 32)
    model(images).logits.square().mean().backward()
    gradients = [p.grad for p in model.projection.parameters()]
    assert all(g is not None and math.isfinite(float(g.abs().sum())) for g in gradients)

    model.eval().save_pretrained(tmp_path / "m")
    again = KE2NT.from_pretrained(tmp_path / "m")
    assert again.architecture["projection"] == "neck"
    with torch.no_grad():
        assert torch.equal(again(images).logits, model(images).logits)


def test_an_unknown_projection_is_refused(text):
    with pytest.raises(ModelError, match=r"linear or neck.*'mlp'"):
        KE2NT(text, "resnet10t", 32, projection="mlp")
