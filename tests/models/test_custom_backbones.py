"""Backbones from outside timm: by dotted path, as a module, saved, loaded, and from the hub."""

from __future__ import annotations

import copy
import json
import sys

import huggingface_hub
import pytest
import torch
from torch import nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.backbones import create_backbone
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model

MODULE = """
import subprocess
from torch import nn

class FaceNet(nn.Sequential):
    def __init__(self, width=16):
        super().__init__(
            nn.Conv2d(3, width, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

class SizedNet(nn.Sequential):
    def __init__(self, image_size):
        super().__init__(nn.Flatten(), nn.Linear(3 * image_size**2, 6))

class Unpooled(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3)

def make_net(width: int = 8) -> nn.Module:
    return FaceNet(width)

def unannotated(width=8):
    raise SystemExit("this function was called")
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    """A module of the user's in the current folder, which nothing has imported yet."""
    (tmp_path / "user_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("user_nets", None)


@pytest.mark.parametrize(
    ("path", "options", "width"),
    [
        ("user_nets.FaceNet", {}, 16),
        ("user_nets.FaceNet", {"width": 5}, 5),
        ("user_nets.make_net", {"width": 9}, 9),
        ("user_nets.SizedNet", {}, 6),
    ],
)
def test_a_dotted_path_names_a_class_or_an_annotated_function(path, options, width):
    backbone = create_backbone(path, image_size=32, **options)
    assert backbone.width == width
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, width)
    assert backbone.training


def test_names_of_timm_come_first():
    with pytest.raises(CheckpointError, match=r"timm's weights of 'resnet18\.a1_in1k'"):
        create_backbone("resnet18.a1_in1k", image_size=32, pretrained=True)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("user_nets.Missing", {}, "unknown backbone 'user_nets.Missing'.*package.module.Net"),
        ("absent_package.Net", {}, "unknown backbone 'absent_package.Net'.*No module"),
        ("resnet81.a1_in1k", {}, "unknown backbone.*Did you mean resnet18"),
        ("user_nets.FaceNet", {"depth": 3}, "cannot be built with these options.*depth"),
        ("user_nets.Unpooled", {}, "no pooled features"),
        ("user_nets.unannotated", {}, "is not a backbone.*annotated"),
        ("subprocess.run", {"args": "false"}, "is not a backbone"),
        ("os.system", {"command": "false"}, "is not a backbone"),
        ("builtins.dict", {}, "is not a backbone.*found type"),
        ("user_nets.FaceNet", {"stem": "small"}, "does not support stem=small"),
        ("user_nets.FaceNet", {"drop_path": 0.1}, "does not support drop_path=0.1"),
        ("user_nets.FaceNet", {"pretrained": True}, "does not support weights=timm"),
        ("user_nets.FaceNet", {"regions": True}, "does not support regions=true"),
    ],
)
def test_invalid_backbones_are_refused(path, options, words):
    with pytest.raises(ModelError, match=words):
        create_backbone(path, **{"image_size": 32, **options})


def test_attention_needs_the_stages_of_timm(bank):
    with pytest.raises(ModelError, match="does not give the feature maps of its stages"):
        KE2NT(bank, "user_nets.FaceNet", 32, attention={})


@pytest.mark.parametrize("head", ["text", "linear"])
def test_a_saved_model_loads_again_where_the_module_can_be_imported(head, bank, images, tmp_path):
    options = {"backbone_options": {"width": 12}}
    model = (
        KE2NT(bank, "user_nets.FaceNet", 32, **options)
        if head == "text"
        else LinearClassifier(("a", "b"), "user_nets.FaceNet", 32, **options)
    )
    model.eval().save_pretrained(tmp_path / "m")
    architecture = json.loads((tmp_path / "m" / "config.json").read_text())["architecture"]
    assert architecture["backbone"] == "user_nets.FaceNet"

    del sys.modules["user_nets"]
    assert torch.equal(load_model(tmp_path / "m")(images).logits, model(images).logits)

    del sys.modules["user_nets"]
    (tmp_path / "user_nets.py").unlink()
    with pytest.raises(ModelError, match=r"unknown backbone 'user_nets\.FaceNet'.*user_nets"):
        load_model(tmp_path / "m")


def test_a_download_is_loaded_only_if_its_module_is_imported_already(
    bank, images, tmp_path, monkeypatch
):
    model = KE2NT(bank, "user_nets.FaceNet", 32).eval()
    cache = tmp_path / "hub"
    folder = cache / "models--ada--faces" / "snapshots" / "1"
    model.save_pretrained(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(folder))

    del sys.modules["user_nets"]
    for name in ("ada/faces", folder):
        with pytest.raises(CheckpointError, match=r"'user_nets', which is not imported.*import "):
            load_model(name)
    assert "user_nets" not in sys.modules

    __import__("user_nets")
    assert torch.equal(KE2NT.from_pretrained("ada/faces")(images).logits, model(images).logits)


def test_a_download_cannot_call_a_function_of_an_imported_module(bank, tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "snapshot"
    KE2NT(bank, "user_nets.FaceNet", 32).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["architecture"] |= {"backbone": "os.system", "backbone_options": {"command": "false"}}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match=r"is not a backbone"):
        load_model(folder)


def test_given_module_is_used_directly(bank, images, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = KE2NT(bank, backbone=net, image_size=32)
    assert model.backbone.net is net
    assert model.backbone.width == 7
    assert model(images).logits.shape == (2, 4)
    copied = copy.deepcopy(model)
    assert copied.backbone.net is not net
    assert torch.equal(copied.eval()(images).logits, model.eval()(images).logits)

    with pytest.raises(CheckpointError, match=r"given as a module cannot be saved.*Name its class"):
        model.save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match=r"takes no options.*found width"):
        KE2NT(bank, net, 32, backbone_options={"width": 3})
    with pytest.raises(ModelError, match="the backbone is not valid"):
        KE2NT(bank, None, 32)


def test_training_takes_a_dotted_path_from_the_configuration():
    from ke2nt.models.build import build_model

    model = build_model(
        {"head": "linear", "backbone": "user_nets.make_net", "image_size": 32}, classes=("a", "b")
    )
    assert model.stage_widths == (8,)
    with pytest.raises(ModelError, match=r"layer_decay does not support this backbone"):
        model.backbone.layer_depths()


def test_a_network_in_the_registry_of_timm_is_a_backbone_by_its_name(bank, images, tmp_path):
    import timm
    from timm.models import register_model

    @register_model
    def registered_face_net(pretrained=False, num_classes=0, in_chans=3, width=32, **options):
        return nn.Sequential(nn.Conv2d(in_chans, width, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    assert timm.is_model("registered_face_net")
    model = KE2NT(bank, "registered_face_net", 32, backbone_options={"width": 48}).eval()
    assert model.backbone.width == 48
    model.save_pretrained(tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m")(images).logits, model(images).logits)


@pytest.mark.parametrize(
    ("backbone", "found"), [(torch.nn.Identity, "the class Identity"), (3, "found int")]
)
def test_what_is_no_backbone_is_a_clear_error(backbone, found):
    with pytest.raises(ModelError, match=rf"expected a name, or an nn\.Module; .*{found}"):
        create_backbone(backbone, image_size=32)
