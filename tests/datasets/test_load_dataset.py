"""Datasets by name, and readers of users by dotted path."""

from __future__ import annotations

import json
import sys

import pytest
from command_line import run_ke2nt
from reader_trees import write_image

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import READERS, describe_reader, get_reader, load_dataset
from ke2nt.datasets.corruptions import Corruptions
from ke2nt.datasets.drawn import DrawnReader
from ke2nt.errors import ConfigError, DataError, LayoutError
from ke2nt.runtime.renamed import RenamedWarning

MODULE = '''
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader


class Diary(Reader):
    """Photos of a diary.

    More about it.
    """

    name = "diary"
    expected_tree = "diary.txt"
    classes = ("neutral", "happiness")
    splits = ("train", "val")

    def __init__(self, root, *, repeat: int = 1):
        super().__init__(root)
        self.repeat = repeat

    @classmethod
    def recognizes(cls, root):
        return (root / "diary.txt").is_file()

    def read_samples(self, split):
        for line in (self.root / "diary.txt").read_text().split() * self.repeat:
            path, label = line.split(",")
            if path.startswith(split):
                yield FaceSample(path, self.root / path, int(label))


class Incomplete(Reader):
    pass


class Nameless(Reader):
    classes = splits = ("a",)

    def read_samples(self, split):
        return []


class NoSplits(Reader):
    name = "no splits"
    classes = ("a",)

    def read_samples(self, split):
        return []


not_a_class = Diary.read_samples
NotAReader = dict
'''


@pytest.fixture
def diary(tmp_path, monkeypatch):
    """A folder with a module of readers, and in it the dataset `photos`; the current folder."""
    lines = []
    for i in range(24):
        split = "train" if i < 16 else "val"
        lines.append(f"{split}/{i}.png,{i % 2}")
        write_image(tmp_path / "photos" / split / f"{i}.png", seed=i, size=32)
    (tmp_path / "photos" / "diary.txt").write_text("\n".join(lines))

    (tmp_path / "diary_readers.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("diary_readers", None)


def test_every_reader_is_a_reader():
    assert {name for name, reader in READERS.items() if issubclass(reader, Reader)} == set(READERS)


def test_a_reader_or_one_of_its_splits():
    reader = load_dataset("drawn", count=24, size=16)
    assert isinstance(reader, DrawnReader)

    split = load_dataset("drawn", split="val", count=24, size=16)
    assert isinstance(split, FaceSplit)
    assert [s.name for s in split.samples] == [s.name for s in reader.load("val").samples]
    with pytest.raises(DataError, match=r"no split 'vale'.*Did you mean 'val'"):
        load_dataset("drawn", split="vale", count=24)


def test_dotted_path(diary):
    split = load_dataset("diary_readers.Diary", "photos", "val", repeat=2)
    assert (split.dataset, len(split), split.classes) == ("diary", 16, ("neutral", "happiness"))
    assert split.samples[8].name == f"{split.samples[0].name}#2"
    assert describe_reader("diary_readers.Diary") == {
        "name": "diary_readers.Diary",
        "summary": "Photos of a diary.",
        "classes": ["neutral", "happiness"],
        "splits": ["train", "val"],
        "options": {"repeat": 1},
        "expected_tree": "diary.txt",
    }


def test_dotted_path_under_corruptions(diary):
    reader = load_dataset("corruptions", "photos", of="diary_readers.Diary", kind="jpeg", repeat=2)
    assert isinstance(reader, Corruptions)
    assert reader.load("val").dataset == "diary jpeg 3"
    assert len(reader.read_samples("val")) == 16


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module.Diary", "cannot import the dataset reader 'no_such_module.Diary'"),
        ("diary_readers.Dairy", "no attribute 'Dairy'"),
        ("diary_readers.not_a_class", "not a dataset reader; expected a subclass of ke2nt"),
        ("diary_readers.NotAReader", "not a dataset reader"),
        ("diary_readers.Incomplete", "incomplete; expected a definition of read_samples, name"),
        ("diary_readers.Nameless", "incomplete; expected a definition of name"),
    ],
)
def test_wrong_dotted_paths(diary, name, words):
    with pytest.raises(ConfigError, match=words):
        load_dataset(name, "photos")


def test_wrong_use_of_a_dotted_path(diary):
    with pytest.raises(DataError, match=r"invalid repeat for diary_readers\.Diary; expected int"):
        load_dataset("diary_readers.Diary", "photos", repeat="x")
    with pytest.raises(DataError, match=r"no option 'repeet'.*Did you mean 'repeat'"):
        load_dataset("diary_readers.Diary", "photos", repeet=2)
    with pytest.raises(DataError, match="needs a root folder"):
        load_dataset("diary_readers.Diary")
    with pytest.raises(LayoutError, match=r"layout of diary.*one folder down: \S*photos"):
        load_dataset("diary_readers.Diary", ".")
    with pytest.raises(DataError, match="has no attribute 'splits'"):
        load_dataset("diary_readers.NoSplits", "photos")
    with pytest.raises(DataError, match="or a dotted path to a Reader class"):
        load_dataset("diary", "photos")


def test_dotted_path_in_data_info(diary):
    done = run_ke2nt("data", "info", "diary_readers.Diary", "photos", "--json", cwd=diary)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"]["train"]["samples"] == 16
    wrong = run_ke2nt("data", "info", "diary_readers.NotAReader", "photos", cwd=diary)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: 'diary_readers.NotAReader' is not a dataset reader")


def test_dotted_path_in_training_and_evaluation(diary):
    (diary / "tiny.yaml").write_text(
        "data: {name: diary_readers.Diary, root: photos, val_split: val, workers: 1}\n"
        "model: {backbone: test_resnet, image_size: 32}\n"
        "optim: {epochs: 1, batch_size: 8, warmup_epochs: 0}\n"
    )
    done = run_ke2nt("train", "tiny.yaml", "--out", "run", "--json", cwd=diary)

    assert done.returncode == 0, done.stderr

    words = ["--dataset", "diary_readers.Diary", "--root", "photos", "--split", "val", "--json"]
    scored = run_ke2nt("evaluate", "run", *words, cwd=diary)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["confusion"] == json.loads(done.stdout)["confusion"]


def test_old_names_of_the_hooks(tmp_path):
    # The warnings come when the class is defined
    with pytest.warns(RenamedWarning) as warned:

        class Old(Reader):
            name = "old"
            classes = ("neutral",)
            splits = ("all",)

            @classmethod
            def recognises(cls, root):
                return (root / "old.txt").is_file()

            def _samples(self, split):
                return [FaceSample("a", self.root / "old.txt", 0)]

    assert [str(w.message).split("now called ")[1].split(";")[0] for w in warned] == [
        "'read_samples'",
        "'recognizes'",
    ]
    with pytest.raises(LayoutError):
        Old(tmp_path)

    (tmp_path / "old.txt").touch()
    assert len(Old(tmp_path).load("all")) == 1


def test_any_folder_is_recognized_by_default(tmp_path):
    class Plain(Reader):
        name = "plain"
        classes = ("neutral",)
        splits = ("all",)

        def read_samples(self, split):
            return []

    with pytest.raises(DataError, match="no samples"):
        Plain(tmp_path).load("all")
    with pytest.raises(LayoutError, match="no such folder"):
        Plain(tmp_path / "none")


def test_drawn_faces_have_no_root():
    assert get_reader("drawn", count=24, size=16).root is None
    with pytest.raises(DataError, match="not read from a folder"):
        get_reader("drawn", "somewhere")
