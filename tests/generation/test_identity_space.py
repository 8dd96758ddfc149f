"""Which identity space a run uses, what it trains, and that its descriptors are dlib's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ke2nt.config.gan import FesganConfig
from ke2nt.generation import identity_space
from ke2nt.generation.build_networks import build_critics
from ke2nt.generation.gan_draws import sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.identity_space import (
    FALLBACK,
    choose_identity_space,
    load_identity_space,
)
from ke2nt.generation.networks import face_space
from ke2nt.generation.networks.face_space import FaceSpace
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels
from ke2nt.generation.train_generator import pretrain
from ke2nt.models import dlib_face_descriptors, face_weights
from ke2nt.models.dlib_resnet import DlibResNet


@pytest.fixture
def network(monkeypatch):
    """dlib's network with random weights, in place of the file of the extra."""
    torch.manual_seed(0)
    net = DlibResNet(descriptor=True).eval()
    for module in (face_space, face_weights):
        monkeypatch.setattr(module, "load_face_network", lambda: net)
    return net


@pytest.fixture
def installed(monkeypatch):
    """Say whether the extra is installed."""

    def say(value):
        file = Path("file") if value else None
        monkeypatch.setattr(identity_space, "dlib_package_file", lambda: file)

    return say


@pytest.mark.parametrize(("extra", "space"), [(True, "faces"), (False, FALLBACK)])
def test_auto_takes_faces_where_they_are_installed(installed, capsys, extra, space):
    installed(extra)
    config = FesganConfig()
    assert config.gan.identity_space == "auto"
    assert choose_identity_space(config).gan.identity_space == space
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert space in printed.err


@pytest.mark.parametrize("space", ["code", "faces", "my-run"])
def test_a_named_space_is_used(installed, capsys, space):
    installed(True)
    config = FesganConfig.model_validate({"gan": {"identity_space": space}})
    assert choose_identity_space(config) == config
    assert space in capsys.readouterr().err
    choose_identity_space(config, quiet=True)
    without = FesganConfig.model_validate({"gan": {"loss": {"identity": 0}}})
    choose_identity_space(without)
    assert load_identity_space(without.gan, torch.device("cpu")) is None
    assert capsys.readouterr().err == ""


def test_a_run_records_its_space_and_resumes_with_it(tiny, installed, monkeypatch):
    built = []

    def build():
        built.append(nn.Flatten())  # pixels
        return built[-1]

    installed(True)
    monkeypatch.setattr(identity_space, "FaceSpace", build)
    result = pretrain(tiny("gan.identity_space=auto", "gan.optim.epochs=1"), quiet=True)
    stored = result.run.load_config(FesganConfig)
    assert stored.gan.identity_space == "faces"
    assert result.run.read("run.json")["provenance"]["identity_space"] == "faces"
    assert result.generator.provenance["identity_space"] == "faces"

    installed(False)
    pretrain(stored, resume=True, quiet=True)
    assert len(built) == 2


def test_the_gradient_reaches_the_generator_and_not_the_face_network(network):
    config = FesganConfig.model_validate(
        {
            "gan": {
                "identity_space": "faces",
                "network": {"width": 4, "critic_width": 4, "code_dim": 8},
                "loss": {"adversarial": 0, "code": 0, "reconstruction": 0, "expression": 0},
            }
        }
    ).gan
    generator = FaceGenerator(("neutral", "anger"), 16, 1, width=4, code_dim=8)
    space = load_identity_space(config, torch.device("cpu"))
    before = {name: value.clone() for name, value in space.state_dict().items()}

    draws = sample_gan_draws(2, torch.ones(2), 8, torch.Generator(), torch.device("cpu"))
    objective = GanObjective(config, generator, build_critics(config, generator), space)
    faces = torch.rand(2, 1, 16, 16) * 2 - 1
    total, parts = objective.generator_loss(faces, torch.tensor([0, 1]), draws)
    total.backward()
    assert total.item() == pytest.approx(5 * parts["identity"].item())
    for part in (generator.encoder, generator.decoder):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0
    assert all(p.grad is None and not p.requires_grad for p in space.parameters())

    # in training mode, the statistics of batch normalization would have moved
    space.train()
    assert not any(module.training for module in space.modules())
    assert all(torch.equal(before[name], value) for name, value in space.state_dict().items())
    assert network.fc.weight.requires_grad  # the shared network is not changed


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_the_descriptors_of_the_same_pixels(network, channels):
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 150, 150, 3), generator=random, dtype=torch.uint8)
    if channels == 1:
        pixels = pixels[..., :1].expand(-1, -1, -1, 3)
    images = from_pixels(pixels.permute(0, 3, 1, 2), channels)
    with torch.no_grad():
        found = FaceSpace()(images)
    torch.testing.assert_close(found, dlib_face_descriptors(pixels), rtol=1e-4, atol=1e-5)
