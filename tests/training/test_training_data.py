"""Which images a run trains on and chooses its epoch on."""

from __future__ import annotations

import shutil

import pytest
from reader_trees import write_ferplus, write_image
from training_runs import assert_same_run

from ke2nt.config.data import AUTO_SPLIT, DataConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.splits import draw_shots
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.ferplus import FERPlus
from ke2nt.errors import ConfigError, DataError
from ke2nt.labels import CANONICAL
from ke2nt.training.names import check_dataset
from ke2nt.training.train_recognizer import train
from ke2nt.training.training_data import load_training_data


@pytest.fixture
def disputed(tmp_path):
    """A tiny FER+: per usage, two faces with a majority, one disputed, one not a face."""
    votes = ["9,1,0,0,0,0,0,0,0,0", "0,9,1,0,0,0,0,0,0,0", "5,0,5,0,0,0,0,0,0,0"]
    votes.append("0,0,0,0,0,0,0,0,0,10")
    usages = ("Training", "PublicTest")
    rows = [f"{usage},{usage}{i}.png,{v}" for usage in usages for i, v in enumerate(votes)]
    root = write_ferplus(tmp_path / "fer", rows)
    return ["data.name=ferplus", f"data.root={root}", "data.options={rule: majority}"]


def test_train_options_apply_to_the_training_split_only(tiny, disputed):
    more = "data.train_options={rule: plurality10}"
    for changes, count in ((disputed, 2), ([*disputed, more], 3)):
        config = tiny(*changes, "data.soft_labels=true", "select.rule=last")
        data = load_training_data(config, Preprocessing(image_size=24))
        assert (len(data.train), len(data.val)) == (count, 2)
    assert data.targets[2, [0, 2]].tolist() == [0.5, 0.5]
    carved = tiny(*disputed, more, "data.val_split=null")
    with pytest.raises(ConfigError, match=r"validation images, too.*taken from"):
        train(carved, quiet=True)


def test_train_options_that_change_the_classes_are_refused(tiny, monkeypatch, disputed):
    monkeypatch.setattr(
        FERPlus, "classes", property(lambda self: (self.rule, *CANONICAL)), raising=False
    )
    with pytest.raises(ConfigError, match=r"change the classes.*majority.*plurality8"):
        train(tiny(*disputed, "data.train_options={rule: plurality8}"), quiet=True)


def test_images_on_the_device_give_the_same_run(tiny):
    config = tiny("data.memory=device", "optim.epochs=2", out="device")
    first = train(config, quiet=True).run
    assert_same_run(first, train(tiny("optim.epochs=2", out="ram"), quiet=True).run)


def test_training_on_corrupted_images(tiny):
    options = "data.options={of: folder, kind: contrast, severity: 2}"
    result = train(tiny("data.name=corruptions", options), quiet=True)
    assert result.data.train.split.dataset == "folder contrast 2"
    plain = train(tiny(out="plain"), quiet=True)
    seen, unchanged = (next(r.data.train.batches(40)).pixels.float() for r in (result, plain))
    assert seen.std() < 0.5 * unchanged.std()
    assert result.run.read("metrics.json")["dataset"] == "folder contrast 2"


def test_validation_split_is_carved_if_there_is_none(tiny):
    run = train(
        tiny("data.val_split=null", "data.val_fraction=0.3", "optim.epochs=2"), quiet=True
    ).run
    split = run.read("split.json")
    train_names, val_names = set(split["train"]["names"]), set(split["val"]["names"])
    assert not train_names & val_names
    assert len(train_names | val_names) == 42
    assert 9 <= len(val_names) <= 15


def test_auto_takes_the_splits_that_there_are(tiny, faces, tmp_path):
    auto = ("data.train_split=auto", "data.val_split=auto")
    data = load_training_data(tiny(*auto), Preprocessing(image_size=24))
    assert (len(data.train), len(data.val), data.carved_from) == (42, 18, None)

    # no validation split, then no split at all
    root = shutil.copytree(faces / "train", tmp_path / "classes")
    shutil.copytree(faces / "train", tmp_path / "two" / "train")
    shutil.copytree(faces / "val", tmp_path / "two" / "test")
    for folder, split in ((tmp_path / "two", "train"), (root, "all")):
        data = load_training_data(tiny(*auto, f"data.root={folder}"), Preprocessing(image_size=24))
        assert (len(data.train) + len(data.val), data.carved_from) == (42, split)
        assert data.val.split.split == "val"


def test_shots_are_those_that_few_shot_draws(tiny, faces):
    data = load_training_data(tiny("data.shots=3", "seed=5"), Preprocessing(image_size=24))
    whole = get_reader("folder", faces).load("train")
    assert data.train.split.samples == draw_shots(whole, 3, 5).samples
    assert len(data.val) == 18
    with pytest.raises(DataError, match="too few samples for 15 shots"):
        load_training_data(tiny("data.shots=15"), Preprocessing(image_size=24))
    with pytest.raises(ConfigError, match="both limit"):
        tiny("data.shots=3", "data.fraction=0.5")


def test_selection_on_the_training_split_is_refused(tiny, faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "three")
    shutil.copytree(root / "val", root / "test")
    with pytest.raises(DataError, match="chosen on the training images"):
        train(tiny("data.val_split=train"), quiet=True)
    with pytest.raises(DataError, match="chosen on the training images"):
        train(tiny("select.on=test", "data.train_split=test", f"data.root={root}"), quiet=True)


def test_held_out_classes_are_in_no_split(tiny):
    run = train(tiny("data.hold_out=[anger]", "optim.epochs=2"), quiet=True).run
    assert run.read("run.json")["classes"] == ["neutral", "happiness"]
    assert not any("anger" in n for part in run.read("split.json").values() for n in part["names"])


def test_images_of_one_class_are_refused(tiny):
    """Also where one class is left of several; a model of them would score 100 %."""
    with pytest.raises(DataError, match=r"one class.*two classes or more; found anger"):
        train(tiny("data.hold_out=[neutral, happiness]"), quiet=True)


def test_unreadable_images_are_named(tiny, faces, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(faces, root)
    (root / "train" / "anger" / "0.png").write_bytes(b"")
    (root / "val" / "anger" / "0.png").write_bytes(b"GIF89a nonsense")
    run = train(tiny(f"data.root={root}", "optim.epochs=2"), quiet=True).run
    unreadable = run.read("run.json")["unreadable"]
    assert len(unreadable) == 2
    assert all("anger" in name and name.endswith("0.png") for name in unreadable)
    assert run.read("metrics.json")["n"] == 17


@pytest.mark.parametrize(
    ("splits", "found"),
    [({"all": ["happy"]}, "found happiness"), ({"val": ["happy", "sad"]}, "found the split val")],
)
def test_folders_that_cannot_be_trained_on_are_refused_by_their_names(tmp_path, splits, found):
    for split, names in splits.items():
        for name in names:
            write_image(tmp_path / ("" if split == "all" else split) / name / "a.png")
    with pytest.raises(DataError, match=found):
        check_dataset(
            DataConfig(
                name="folder", root=str(tmp_path), train_split=AUTO_SPLIT, val_split=AUTO_SPLIT
            )
        )
