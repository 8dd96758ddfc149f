"""What does not look like a face is withheld, unfamiliar faces are flagged, and both are saved."""

from dataclasses import replace

import pytest
import torch

from ke2nt.errors import CheckpointError
from ke2nt.models.familiarity import Familiarity
from ke2nt.models.load import load_model
from ke2nt.predict.recognizer import Recognizer


@pytest.fixture
def known(model, portraits):
    """A face score and a distance that differ from portrait to portrait."""
    width, generator = model.dim, torch.Generator().manual_seed(2)
    axes, weight = (torch.randn(*shape, generator=generator) for shape in ((width, 3), (width,)))
    return Familiarity(weight, torch.tensor(0.0), torch.zeros(width), axes, -1e9, 1e9)


def rows(model, portraits, **options):
    recognizer = Recognizer(model, detector=None, device="cpu", check_quality=False, **options)
    return recognizer.predict(portraits)


def test_limits_decide_face_by_face(model, portraits, known):
    plain = rows(model, portraits)
    model.familiarity = known
    with torch.inference_mode():
        embeddings = model(model.preprocessing(portraits)).embeddings
    scores, distances = known.measure(embeddings).T
    assert rows(model, portraits) == plain

    # the third best score and distance become the limits
    model.familiarity = replace(
        known,
        min_face=scores.sort().values[2:4].mean().item(),
        max_distance=distances.sort().values[2:4].mean().item(),
    )
    found = rows(model, portraits)
    for row, score, distance in zip(found, scores, distances, strict=True):
        if score < model.familiarity.min_face:
            assert (row.status, row.label, row.verdict) == ("not_a_face", None, "not a face")
            assert row.probabilities
        else:
            is_far = bool(distance > model.familiarity.max_distance)
            assert (row.status, row.reason) == ("ok", "unfamiliar" if is_far else None)
            assert row.label
    assert sum(row.status == "not_a_face" for row in found) == 3
    assert all(row.status == "ok" for row in rows(model, portraits, check_faces=False))


def test_quality_is_told_of_faces_alone(model, portraits, known):
    model.familiarity = replace(known, min_face=1e9)
    dark = [face // 8 for face in portraits[:1]]
    found = Recognizer(model, detector=None, device="cpu").predict(dark)
    assert [(row.status, row.reason) for row in found] == [("not_a_face", None)]
    model.familiarity = replace(known, max_distance=-1.0)
    (row,) = Recognizer(model, detector=None, device="cpu").predict(dark)
    assert (row.status, row.reason) == ("poor_quality", "dark")


def test_other_words_are_for_faces_too(model, portraits, known):
    model.familiarity = replace(known, min_face=1e9)
    model.set_bank(replace(model.bank, classes=("a", "b", "c"), neutral_index=None))
    assert {row.status for row in rows(model, portraits)} == {"not_a_face"}


def test_familiarity_is_saved_and_never_taken_from_another_model(model, tmp_path, known):
    model.familiarity = replace(known, fitted_on={"dataset": "x", "split": "val"})
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    loaded = load_model(folder).familiarity
    assert loaded.to_dict() == model.familiarity.to_dict()
    for name, tensor in known.tensors().items():
        assert torch.equal(getattr(loaded, name), tensor)

    # a file that was exchanged is not used, but the model is
    other = load_model(folder)
    other.familiarity = replace(known, center=known.center + 1)
    other.save_pretrained(tmp_path / "other")
    path = folder / "familiarity.safetensors"
    path.write_bytes((tmp_path / "other" / path.name).read_bytes())
    with pytest.warns(UserWarning, match="ke2nt calibrate again"):
        assert load_model(folder).familiarity is None


def test_damaged_values_are_named(known):
    with pytest.raises(CheckpointError, match="familiarity is not valid"):
        Familiarity.from_saved({"min_face": 0.0}, known.tensors())
    wrong = {**known.tensors(), "center": torch.zeros(3)}
    with pytest.raises(CheckpointError, match="familiarity is not valid"):
        Familiarity.from_saved(known.to_dict(), wrong)
