"""Generator and critics: shapes, gradients, conditioning, saving."""

from __future__ import annotations

import json

import pytest
import torch

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.generation.networks.critics import CodeCritic, ExpressionClassifier, ImageCritic
from ke2nt.generation.networks.generator import FaceGenerator

CLASSES = ("neutral", "happiness", "anger")


def make(size=16, channels=1, **options):
    torch.manual_seed(0)
    return FaceGenerator(CLASSES, size, channels, **{"width": 4, "code_dim": 8, **options})


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (48, 3), (112, 1)])
@pytest.mark.parametrize("conditioning", ["concat", "film"])
def test_shapes_for_any_multiple_of_16(size, channels, conditioning):
    made = make(size, channels, conditioning=conditioning)
    faces = torch.rand(2, channels, size, size) * 2 - 1
    codes = made.encode(faces)
    assert codes.shape == (2, 8)
    assert codes.abs().max() < 1
    edits = made(faces, torch.tensor([1, 2]))
    assert edits.shape == faces.shape
    assert edits.abs().max() < 1
    for spectral_norm in (False, True):
        critic = ImageCritic(channels, size, 4, 3, spectral_norm=spectral_norm)
        output = critic(edits)
        assert output.scores.shape == (2,)
        assert output.expressions.shape == (2, 3)
    assert ExpressionClassifier(channels, size, 4, 3)(edits).shape == (2, 3)
    code_output = CodeCritic(8, 3)(codes)
    assert code_output.scores.shape == (2,)
    assert code_output.expressions.shape == (2, 3)


@pytest.mark.parametrize("size", [0, 8, 24, 50])
def test_other_image_sizes_are_refused(size):
    with pytest.raises(ModelError, match="multiple of 16"):
        make(size)


def test_unsupported_channels_and_shapes_are_refused():
    with pytest.raises(ModelError, match="gray or RGB"):
        make(channels=2)
    with pytest.raises(ModelError, match=r"1, 16, 16"):
        make().encode(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("conditioning", ["concat", "film"])
def test_every_parameter_gets_a_gradient(conditioning):
    made = make(conditioning=conditioning)
    faces = torch.rand(4, 1, 16, 16)
    made(faces, torch.tensor([0, 1, 2, 1])).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_expression_changes_the_face_and_mixtures_lie_between():
    made = make().eval()
    code = torch.zeros(1, 8)
    ends = [made.decode(code, torch.tensor([k])) for k in (0, 1)]
    half = made.decode(code, torch.tensor([[0.5, 0.5, 0.0]]))
    assert not torch.allclose(*ends)
    assert (half - ends[0]).abs().mean() < (ends[1] - ends[0]).abs().mean()
    same = made.decode(code, torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(same, ends[0])


def test_sampled_codes_are_uniform_and_reproducible():
    made = make()
    codes = made.sample_codes(2000, torch.Generator().manual_seed(1))
    assert codes.abs().max() <= 1
    assert abs(codes.mean()) < 0.02
    assert abs(codes.var() - 1 / 3) < 0.02
    assert torch.equal(codes, made.sample_codes(2000, torch.Generator().manual_seed(1)))
    assert not torch.equal(codes, made.sample_codes(2000, torch.Generator().manual_seed(2)))


def test_spectral_norm_bounds_the_weights():
    critic = ImageCritic(1, 16, 4, 3, spectral_norm=True)
    for _ in range(30):  # the power iteration settles in training mode
        critic(torch.randn(2, 1, 16, 16))
    weights = [m.weight for m in critic.modules() if isinstance(m, torch.nn.Conv2d)]
    tops = [torch.linalg.svdvals(w.flatten(1))[0].item() for w in weights]
    assert tops == pytest.approx([1.0] * len(tops), abs=0.02)


def test_saved_generator_generates_the_same_faces(tmp_path):
    made = make(conditioning="concat").eval()
    made.provenance = {"seed": 3}
    made.save(tmp_path / "run" / "generator")
    loaded = FaceGenerator.load(tmp_path / "run")
    codes = torch.rand(2, 8)
    expressions = torch.tensor([0, 2])
    assert torch.equal(loaded.decode(codes, expressions), made.decode(codes, expressions))
    assert loaded.provenance == {"seed": 3}
    assert loaded.classes == CLASSES
    assert not loaded.training


def test_damaged_or_foreign_folder_raises_a_clear_error(tmp_path):
    with pytest.raises(CheckpointError, match="no saved generator"):
        FaceGenerator.load(tmp_path)
    make().save(tmp_path / "g")
    facts = json.loads((tmp_path / "g" / "generator.json").read_text())
    (tmp_path / "g" / "generator.json").write_text(json.dumps({**facts, "image_size": 32}))
    with pytest.raises(CheckpointError, match="does not fit"):
        FaceGenerator.load(tmp_path / "g")
    (tmp_path / "g" / "generator.json").write_text(json.dumps({**facts, "format_version": 9}))
    with pytest.raises(CheckpointError, match="unknown format"):
        FaceGenerator.load(tmp_path / "g")
    (tmp_path / "g" / "generator.json").write_text(json.dumps(facts))
    weights = tmp_path / "g" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    with pytest.raises(CheckpointError, match="digest"):
        FaceGenerator.load(tmp_path / "g")
