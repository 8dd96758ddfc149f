"""Predictions of a small model on drawn images: order, failures, mirror images, modes."""

import numpy as np
import pytest
import torch
from torch import nn

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, LabelError, ModelError
from ke2nt.evaluation.evaluate_model import EvaluationOptions, decode_for_model, evaluate_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.output import KE2NTOutput

SIZE = 8
CLASSES = ("neutral", "anger", "fear")


class Tiny(nn.Module):
    """Logits from fixed weights on the flattened pixels, with a dropout that would show."""

    def __init__(self, classes=CLASSES, scale=1.0):
        super().__init__()
        self.classes = classes
        self.preprocessing = Preprocessing(image_size=SIZE, interpolation="nearest")
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(len(classes), 3 * SIZE * SIZE, generator=generator) * 0.05 * scale
        self.weight = nn.Parameter(weight)
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(3 * SIZE * SIZE)

    def forward(self, images):
        embeddings = self.dropout(self.norm(images.flatten(1)))
        return KE2NTOutput(embeddings @ self.weight.T, embeddings)


def make_split(n=11, classes=CLASSES, bad=()):
    pixels = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), "u1")
    samples = [
        FaceSample(
            name=f"face{i:02}.png",
            source="/nowhere/face.png" if i in bad else pixels[i],
            label=i % len(classes),
        )
        for i in range(n)
    ]
    return FaceSplit("drawn", "test", classes, tuple(samples))


def slow(model, split, flip=False):
    """One image at a time, no batches, no autocast."""
    rows = []
    model.eval()
    with torch.no_grad():
        for sample in split.samples:
            x = model.preprocessing.normalize(
                torch.from_numpy(sample.source.transpose(2, 0, 1).copy())[None]
            )
            p = model(x).logits.double().softmax(-1)[0]
            if flip:
                p = (p + model(torch.flip(x, dims=[3])).logits.double().softmax(-1)[0]) / 2
            rows.append(p.numpy())
    return np.array(rows)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 128])
def test_batches_match_one_image_at_a_time(flip, batch_size):
    model, split = Tiny(), make_split()
    result = compute_predictions(
        model, decode_for_model(model, split), batch_size=batch_size, flip_tta=flip
    )
    assert result.probabilities.dtype == np.float64
    assert np.allclose(result.probabilities, slow(model, split, flip), atol=1e-6)
    assert np.allclose(result.probabilities.sum(1), 1, atol=1e-12)
    assert result.labels.tolist() == split.labels().tolist()
    assert result.names == tuple(s.name for s in split.samples)
    assert result.classes == CLASSES
    assert result.embeddings is None


def test_mirror_average_differs_and_ignores_the_direction():
    model, split = Tiny(), make_split()
    mirrored = FaceSplit(
        "drawn",
        "test",
        CLASSES,
        tuple(FaceSample(s.name, s.source[:, ::-1].copy(), s.label) for s in split.samples),
    )
    plain = compute_predictions(model, decode_for_model(model, split)).probabilities
    one = compute_predictions(model, decode_for_model(model, split), flip_tta=True).probabilities
    two = compute_predictions(model, decode_for_model(model, mirrored), flip_tta=True).probabilities
    assert np.allclose(one, two, atol=1e-6)
    assert np.abs(one - plain).max() > 0.01


@pytest.mark.parametrize("memory", ["ram", "lazy"])
def test_unreadable_images_are_left_out_and_named(memory):
    model, split = Tiny(), make_split(bad=(0, 5))
    tensors = decode_for_model(model, split, memory=memory, workers=0 if memory == "lazy" else 1)
    result = compute_predictions(model, tensors, batch_size=4)
    assert sorted(name for name, _ in result.failed) == ["face00.png", "face05.png"]
    good = [i for i in range(11) if i not in (0, 5)]
    assert result.names == tuple(f"face{i:02}.png" for i in good)
    assert result.labels.tolist() == split.labels()[good].tolist()
    assert len(result) == len(result.probabilities) == 9


def test_nothing_readable_is_an_error():
    model, split = Tiny(), make_split(n=2, bad=(0, 1))
    with pytest.raises(DataError, match="face00"):
        compute_predictions(model, decode_for_model(model, split, memory="lazy", workers=0))


def test_modes_and_statistics_are_unchanged():
    model = Tiny()
    model.train()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compute_predictions(model, decode_for_model(model, make_split()))
    assert model.training
    assert model.dropout.training
    assert not model.norm.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_moved_model_can_still_be_trained():
    """Parameters that are made within inference mode cannot."""

    class Moved(Tiny):
        def to(self, *args, **options):
            return super().to(torch.float32)

    model = Moved().double()
    compute_predictions(
        model, FaceTensors(make_split(), SIZE, interpolation="nearest"), device="cpu"
    )
    model(torch.rand(4, 3, SIZE, SIZE)).logits.sum().backward()
    assert model.weight.grad.dtype is torch.float32


def test_modes_are_restored_after_an_error():
    class Failing(Tiny):
        def forward(self, images):
            assert not self.training
            raise RuntimeError("inside")

    model = Failing()
    with pytest.raises(RuntimeError, match="inside"):
        compute_predictions(model, decode_for_model(model, make_split()))
    assert model.training
    assert model.dropout.training


def test_embeddings_ignore_the_mirror_image():
    model, tensors = Tiny(), decode_for_model(Tiny(), make_split())
    plain = compute_predictions(model, tensors, embeddings=True).embeddings
    flipped = compute_predictions(model, tensors, embeddings=True, flip_tta=True).embeddings
    assert plain.shape == (11, 3 * SIZE * SIZE)
    assert plain.dtype == np.float32
    assert np.array_equal(plain, flipped)


def test_bf16_only_on_request(monkeypatch):
    model, tensors = Tiny(), decode_for_model(Tiny(), make_split())
    monkeypatch.setattr("ke2nt.runtime.devices.computes_in_bf16", lambda device: True)
    default = compute_predictions(model, tensors).probabilities
    assert np.array_equal(
        default, compute_predictions(model, tensors, precision="fp32").probabilities
    )
    half = compute_predictions(model, tensors, precision="bf16").probabilities
    assert 0 < np.abs(half - default).max() < 0.05
    assert np.array_equal(half, compute_predictions(model, tensors, precision="auto").probabilities)


def test_wrong_size_and_broken_weights_are_errors():
    model, split = Tiny(), make_split()
    with pytest.raises(DataError, match="model's size"):
        compute_predictions(model, FaceTensors(split, 16))
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        compute_predictions(model, decode_for_model(model, split))


def test_evaluate_model_takes_a_split_or_tensors():
    model, split = Tiny(), make_split(bad=(3,))
    one = evaluate_model(model, split, bootstrap=50, flip_tta=True)
    two = evaluate_model(model, decode_for_model(model, split), bootstrap=50, flip_tta=True)
    assert one.to_dict() == two.to_dict()
    guess = slow(model, make_split(), flip=True).argmax(1)
    right = [guess[i] == i % 3 for i in range(11) if i != 3]
    assert one.report.accuracy == pytest.approx(np.mean(right))
    value = one.to_dict()
    assert value["failed"][0]["name"] == "face03.png"
    assert (value["dataset"], value["split"], value["n"]) == ("drawn", "test", 10)
    assert (value["flip_tta"], value["precision"], value["device"]) == (True, "fp32", "cpu")


def test_labels_are_checked_before_predicting():
    class Never(Tiny):
        def forward(self, images):
            raise AssertionError("predicted")

    with pytest.raises(LabelError, match="label sets differ"):
        evaluate_model(Never(), make_split(classes=("neutral", "anger", "joy")))


def test_evaluation_options_as_an_object_or_as_fields():
    model, split = Tiny(), make_split()
    options = EvaluationOptions(flip_tta=True, bootstrap=20, seed=5)
    as_object = evaluate_model(model, split, options)
    assert (
        as_object.to_dict()
        == evaluate_model(model, split, flip_tta=True, bootstrap=20, seed=5).to_dict()
    )
    assert evaluate_model(model, split, options, seed=6).report.seed == 6
    with pytest.raises(TypeError, match="no_such_option"):
        evaluate_model(model, split, no_such_option=1)
