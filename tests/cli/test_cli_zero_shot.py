"""`ke2nt zero-shot` on faces on disk, through the entry point."""

import csv
import json
import sys

import numpy as np
import pytest
from command_line import run_ke2nt
from PIL import Image

from ke2nt.cli import main as cli
from ke2nt.config.load import load_config
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.zero_shot import zero_shot
from ke2nt.training.train_recognizer import train


@pytest.fixture(scope="module")
def faces(tmp_path_factory, small_clip):
    root = tmp_path_factory.mktemp("faces")
    split = small_clip.split
    for sample in split.samples[:80]:
        folder = root / "test" / split.classes[sample.label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.source).save(folder / f"{sample.name}.png")
    (root / "test" / "anger" / "zz.png").write_bytes(b"no image")
    return root


@pytest.fixture
def ke2nt(monkeypatch, capfd, small_clip, faces):
    """Run `ke2nt zero-shot` in this process, as the installed command does."""

    def run(*extra, encoder=f"open_clip:{small_clip.open_clip}", root=faces, prompts="simple"):
        arguments = ["--encoder", encoder, "--prompts", prompts]
        arguments += ["--dataset", "folder", "--root", root, "--split", "test", *extra]
        monkeypatch.setattr(sys, "argv", ["ke2nt", "zero-shot", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capfd.readouterr()

    return run


def test_json_is_the_evaluation(small_clip, faces):
    spec = f"open_clip:{small_clip.open_clip}"
    arguments = ["--encoder", spec, "--prompts", "ensemble", "--dataset", "folder"]
    arguments += ["--root", faces, "--split", "test", "--bootstrap", "100", "--device", "cpu"]
    done = run_ke2nt("zero-shot", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    expected = zero_shot(spec, "ensemble", get_reader("folder", faces).load("test"), bootstrap=100)
    for name in ("n", "accuracy", "uar", "macro_f1", "ece", "confusion", "intervals", "failed"):
        assert value[name] == expected.to_dict()[name]
    assert value["model"] == spec
    assert value["n"] == 80
    assert value["accuracy"] > 0.5
    assert value["preprocessing"]["resize_mode"] == "shortest"
    assert value["failed"][0]["name"].endswith("zz.png")


def test_an_error_is_one_line(small_clip, faces):
    arguments = ["--encoder", "open_clip:ViT-B-61/x", "--prompts", "simple", "--dataset", "drawn"]
    done = run_ke2nt("zero-shot", *arguments, "--split", "test")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: open_clip has no architecture 'ViT-B-61'")
    assert done.stderr.count("\n") == 1


def test_files_and_tables(ke2nt, tmp_path):
    code, out, err = ke2nt("--out", tmp_path / "out", "--bootstrap", "100")
    assert code == 0
    folder = tmp_path / "out"
    value = json.loads((folder / "metrics.json").read_text())
    assert "folder test: 80 images" in out
    assert f"{100 * value['accuracy']:.1f}" in out
    assert "zz.png" in err
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    assert len(rows) == 80
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert right / 80 == pytest.approx(value["accuracy"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "zero-shot" in page
    assert "A random sample" in page
    assert "a photo of an angry face." in page


def test_transformers_and_label_options(ke2nt, small_clip, tmp_path, faces):
    transformers = f"transformers:{small_clip.transformers}"
    code, out, _ = ke2nt("--json", "--bootstrap", "0", encoder=transformers)
    assert code == 0
    whole = json.loads(out)
    code, out, _ = ke2nt("--json", "--bootstrap", "0", "--labels", "keep", encoder=transformers)
    assert json.loads(out)["labels"]["unused"]

    # images of one class under three names: one is merged, one dropped; anger is beside them
    for name in ("neutral", "happiness", "contempt", "anger"):
        (tmp_path / "test" / name).mkdir(parents=True)
        source = "anger" if name == "anger" else "neutral"
        for path in sorted((faces / "test" / source).iterdir()):
            (tmp_path / "test" / name / path.name).write_bytes(path.read_bytes())

    options = ["--labels", "drop", "--merge", "contempt=neutral"]
    options += ["--classes", "neutral, anger, fear"]
    code, out, _ = ke2nt(*options, root=tmp_path, encoder=transformers)
    assert code == 0
    assert "contempt → neutral" in out
    assert "dropped from the data: happiness" in out
    assert "masked out): fear" in out
    assert whole["accuracy"] > 0.5


def test_label_sets_that_differ(ke2nt, tmp_path, faces):
    (tmp_path / "test" / "boredom").mkdir(parents=True)
    (tmp_path / "test" / "neutral").mkdir()
    for name in ("boredom", "neutral"):
        path = next((faces / "test" / "neutral").iterdir())
        (tmp_path / "test" / name / path.name).write_bytes(path.read_bytes())
    code, out, err = ke2nt(root=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error:")
    assert err.count("\n") == 1


def test_mistyped_class_gets_a_suggestion(ke2nt):
    code, _, err = ke2nt("--classes", "neutral,hapiness")
    assert code == 2
    assert "unknown class 'hapiness'" in err
    assert "Did you mean 'happiness'?" in err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained without one of its classes."""
    home = tmp_path_factory.mktemp("runs")
    root = home / "faces"
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4), ("test", 5)):
        for label, name in enumerate(("neutral", "happiness", "anger", "contempt")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
                pixels[6 * label : 6 * label + 6] += 120
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")

    # as small as it trains
    config = load_config(
        "quickstart",
        [
            f"out={home / 'run'}",
            "data.name=folder",
            f"data.root={root}",
            "data.options={}",
            "data.workers=0",
            "data.hold_out=[contempt]",
            "model.backbone=test_resnet",
            "model.image_size=24",
            "optim.batch_size=8",
            "optim.epochs=2",
            "optim.warmup_epochs=1",
            "device=cpu",
            "precision=fp32",
        ],
    )
    train(config, quiet=True)
    return home / "run", root


def test_trained_run_with_a_held_out_class(ke2nt, run):
    folder, root = run
    options = {"encoder": f"run:{folder}", "root": root, "prompts": "paper"}
    code, out, _ = ke2nt("--json", "--bootstrap", "50", **options)
    assert code == 0
    value = json.loads(out)
    figures = value["generalized"]
    assert figures["unseen_classes"] == ["contempt"]
    assert sorted(figures["seen_classes"]) == ["anger", "happiness", "neutral"]
    assert (figures["n_seen"], figures["n_unseen"]) == (15, 5)
    assert set(figures["seen"]) == set(figures["harmonic"])

    # seen and unseen images together are all images
    seen, unseen = figures["seen"]["accuracy"], figures["unseen"]["accuracy"]
    total = (15 * seen + 5 * unseen) / 20
    assert total == pytest.approx(value["accuracy"])

    code, out, _ = ke2nt(**options)
    assert "unseen: contempt" in out
    assert "harmonic mean" in out


def test_selection_split_is_noted(ke2nt, run, monkeypatch):
    folder, root = run
    code, out, _ = ke2nt("--split", "val", encoder=f"run:{folder}", root=root, prompts="paper")
    assert code == 0
    assert "its metrics are optimistic" in out


def test_limit_is_reported(ke2nt):
    code, out, _ = ke2nt("--limit", "10")
    assert code == 0
    assert "10 images" in out
    assert "Only 10 images" in out
