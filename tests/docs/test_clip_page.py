"""The commands of docs/clip.md on a tiny model and tiny faces, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_towers import SIZE, vision_language_model

from ke2nt.app.backend import AppBackend
from ke2nt.app.vocabulary import Vocabulary
from ke2nt.cli import main as cli
from ke2nt.export.deployed import DeployedModel
from ke2nt.export.ort import OnnxRecognizer
from ke2nt.models.load import load_model
from ke2nt.predict.recognizer import Recognizer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clip.md"
CLASSES = ("neutral", "happiness", "anger")
MODEL = "open_clip:ViT-B-16/openai"

# what makes a command tiny, by its first words
SMALL = {
    "predict": ["--no-detect"],
    "explain": ["--no-detect"],
    "calibrate": ["--force"],
    "few-shot": ["--bootstrap", "20"],
    "train": ["optim.batch_size=6", "optim.epochs=1", "optim.warmup_epochs=0", "device=cpu"],
    "adapt": ["device=cpu", "target.workers=0"],
}
FOLDER = ["data.name=folder", "data.options={}", "data.workers=0"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 120, (SIZE, SIZE, 3), dtype=np.uint8)
                pixels[8 * label : 8 * label + 8] += 120
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def commands():
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(" #")[0])[1:] for line in lines if line.startswith("ke2nt ")]


def made_tiny(words, spec, faces, photo):
    """The words of a command with the tiny model and faces in place of the real ones."""
    changed = [
        word.replace(MODEL, spec)
        .replace("DIR", str(faces))
        .replace("rafdb", "folder")
        .replace("photo.jpg", str(photo))
        for word in words
    ]
    if words[0] == "train":
        # a saved model names no folder
        start = "start=clip" in words
        changed += ["text.bank=start"] if start else []
        changed += [f"model.backbone={'open_clip:open_clip-clip' if start else spec}", *FOLDER]
    return [*changed, *SMALL.get(words[0], [])]


def test_the_page_from_zero_shot_to_fine_tuning(tmp_path, faces, monkeypatch, capfd):
    spec = vision_language_model(tmp_path / "towers", "open_clip-clip")
    photo = faces / "test" / "anger" / "0.png"
    monkeypatch.chdir(tmp_path)
    # reports take longer than such runs
    monkeypatch.setattr(
        "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
    )
    monkeypatch.setattr("ke2nt.adapt.finish_adaptation.write_report", lambda *a, **k: None)
    monkeypatch.setattr(
        "ke2nt.adapt.finish_adaptation.build_adaptation_report", lambda *a, **k: None
    )

    for words in commands():
        monkeypatch.setattr(sys, "argv", ["ke2nt", *made_tiny(words, spec, faces, photo)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capfd.readouterr()
        assert stop.value.code in (0, None), f"{shlex.join(words)}\n{out}{err}"

    check_models(tmp_path, photo)


def check_models(folder, photo):
    """The models that the commands wrote, in Python."""
    config = json.loads((folder / "clip" / "config.json").read_text())
    assert config["architecture"]["projection"] == "none"
    assert config["card"]["evaluations"][0]["n"] == 12
    assert config["calibration"] is not None
    tower = config["architecture"]["tower"]
    for run in ("clip_vitb16", "clip_vitb16_lora", "from_clip"):
        assert load_model(folder / "runs" / run).architecture["tower"] == tower
    assert load_model(folder / "blended" / "model").architecture["tower"] == tower

    # the exported graph, and intensities, which a zero-shot model has too
    model = load_model(folder / "clip").eval()
    pixels = np.asarray(Image.open(photo))[None]
    with torch.inference_mode():
        expected = DeployedModel(model)(torch.from_numpy(pixels))[0].numpy()
    onnx = OnnxRecognizer(folder / "clip.onnx")(pixels)
    np.testing.assert_allclose(onnx, expected, atol=1e-5)
    recognizer = Recognizer(model, detector=None, device="cpu")
    (face,) = recognizer.predict(str(photo))
    intensities = [x for x in (face.intensity, face.unscaled_intensity) if x is not None]
    assert intensities
    assert np.isfinite([face.confidence, *intensities]).all()

    # the words of the app need no text encoder as long as they are the model's
    vocabulary = Vocabulary(model, folder)
    app = AppBackend("clip", model, detector=None, device="cpu", vocabulary=vocabulary, trials=None)
    image = app.read_image(str(photo), find=False)
    shown = app.show_faces(image, vocabulary.default_words, vocabulary.default_templates, None)
    assert shown.classes == model.classes
    assert all(name in shown.html for name in model.classes)
