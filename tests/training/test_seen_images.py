"""Training images of a run are recognized in an evaluation, and its carved split can be named."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from command_line import run_ke2nt

import ke2nt
from ke2nt.cli.evaluation_tables import selection_notes, training_notes
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import DataError
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.models.load import load_model
from ke2nt.training.seen_images import SeenImages, count_seen_images, load_split_of_run
from ke2nt.training.train_recognizer import train


def seen(run, root, split, **options):
    """Count the seen images of a split of class folders, as an evaluation does."""
    images = get_reader("folder", root).load(split)
    digests = decode_for_model(load_model(run), images, **options).pixel_digests()
    found = count_seen_images(run, images, digests)
    return None if found is None else (found.count, found.total)


def test_training_images_are_recognized_by_their_pixels(tiny, faces, tmp_path):
    run = train(tiny("optim.epochs=1"), quiet=True).run.path
    assert seen(run, faces, "train") == (42, 42)
    assert seen(run, faces, "val") == (0, 18)

    # copies under other names, beside an image that cannot be read and one that is new
    mixed = tmp_path / "mixed" / "anger"
    mixed.mkdir(parents=True)
    for i in range(3):
        shutil.copy(faces / "train" / "anger" / f"{i}.png", mixed / f"copy-{i}.png")
    shutil.copy(faces / "val" / "anger" / "0.png", mixed / "new.png")
    (mixed / "broken.png").write_bytes(b"")
    assert seen(run / "model", mixed.parent, "all") == (3, 5)

    # images that are read one by one have no digests
    assert seen(run, faces, "train", memory="lazy") is None


def test_names_serve_where_images_were_not_in_memory(tiny, faces):
    run = train(tiny("optim.epochs=1", "data.memory=lazy"), quiet=True).run.path
    assert seen(run, faces, "train") == (42, 42)
    assert seen(run, faces, "val") == (0, 18)


def test_images_of_the_run_before_count_too(tiny, faces):
    first = train(tiny("optim.epochs=1", "data.hold_out=[anger]", out="a"), quiet=True).run.path
    more = ("data.train_split=val", "data.val_split=train", f"start={first}")
    second = train(tiny("optim.epochs=1", *more, out="b"), quiet=True).run.path
    assert seen(second, faces, "val") == (18, 18)
    assert seen(second, faces, "train") == (28, 42)  # without those that were held out


def test_models_without_a_record_have_no_count(tiny, faces, tmp_path):
    run = train(tiny("optim.epochs=1"), quiet=True).run.path
    copy = shutil.copytree(run / "model", tmp_path / "copy")
    assert seen(copy, faces, "train") is None
    (run / "training_images.json").unlink()
    assert seen(run, faces, "train") is None


@pytest.mark.parametrize(("split", "noted"), [("train", True), ("val", False)])
def test_card_names_the_split_of_a_model_without_its_run(split, noted):
    card = {"data": {"name": "ferplus"}, "config": {"data": {"train_split": "train"}}}
    notes = training_notes(None, card, FaceSplit("ferplus", split, ("a",), ()))
    assert [note[:36] for note in notes] == ["The model was trained on this split "] * noted
    assert training_notes(None, {}, FaceSplit("ferplus", split, ("a",), ())) == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_card_names_the_split_of_the_model_that_a_run_started_from(split):
    start = {"model": "ke2nt/ferplus-faces", "train_splits": {"ferplus": "train"}}
    card = {"data": {"name": "folder"}, "started_from": start}
    for record in (None, SeenImages(count=0, total=5)):
        notes = training_notes(record, card, FaceSplit("ferplus", split, ("a",), ()))
        expected = "The model that this one was started from, ke2nt/ferplus-faces, was trained"
        assert [note[: len(expected)] for note in notes] == [expected] * (split == "train")


def test_val_is_the_part_that_the_run_set_aside(tiny, faces, tmp_path):
    root = shutil.copytree(faces / "train", tmp_path / "classes")
    auto = (f"data.root={root}", "data.train_split=auto", "data.val_split=auto")
    result = train(tiny("optim.epochs=1", *auto), quiet=True)
    run, reader = result.run.path, get_reader("folder", root)

    val = load_split_of_run(run / "model", reader, "val")
    assert (val.split, val.samples) == ("val", result.data.val.split.samples)
    assert 0 < len(val) < len(load_split_of_run(run, reader, "all"))
    assert "epoch was chosen on this split" in selection_notes(str(run), {}, val)[0]

    assert ke2nt.evaluate(run, "folder", root, "val", bootstrap=0).report.n == len(val)

    # the commands: JSON, page and text say which images were trained on
    words = [run, "--dataset", "folder", "--root", root, "--split", "all"]
    report = tmp_path / "report"
    facts = json.loads(run_ke2nt("evaluate", *words, "--json", "--out", report).stdout)
    trained = 42 - len(val)
    assert facts["training_images"] == {"count": trained, "total": 42}
    sentence = f"{trained} of the 42 images are training images of this model"
    assert sentence in facts["notes"][0]
    assert sentence in (report / "report.html").read_text()
    fitted = run_ke2nt("calibrate", *words, "--force", "--clean-only")
    assert f"({trained} of these 42)" in " ".join(fitted.stdout.split())

    # a split of that name in the data comes first; images that are gone are no part of it
    other = get_reader("folder", faces)
    assert load_split_of_run(run, other, "val").samples == other.load("val").samples
    for name in ("neutral", "anger", "happiness"):
        shutil.rmtree(root / name)
        shutil.copytree(faces / "val" / name, root / name)
    with pytest.raises(DataError, match=r"images that the run validated on are not here"):
        load_split_of_run(run, get_reader("folder", root), "val")


def test_other_models_have_the_splits_of_the_data_alone(tmp_path):
    reader = SimpleNamespace(name="folder", splits=("all",), load=lambda split: split)
    assert load_split_of_run("ke2nt/ferplus-faces", reader, "val") == "val"
