from __future__ import annotations

import json

import pytest
from reader_trees import write_image, write_text

from ke2nt.data.images import decode
from ke2nt.datasets import hub_dataset
from ke2nt.datasets.check import check_dataset
from ke2nt.datasets.huggingface import HuggingFace
from ke2nt.errors import DataError, LayoutError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def faces(tmp_path):
    """Bytes of four images."""
    return [write_image(tmp_path / "made" / f"{i}.png", i, 8).read_bytes() for i in range(4)]


def write_parquet(path, columns, names=None):
    features = {"image": {"_type": "Image"}}
    if names is not None:
        features["label"] = {"names": names, "_type": "ClassLabel"}
    table = pyarrow.table(columns)
    facts = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata({"huggingface": facts}), path)
    return path


def images(faces):
    return [{"bytes": face, "path": None} for face in faces]


def test_splits_and_names_of_class_labels(tmp_path, faces):
    root = tmp_path / "data"
    for number, name in enumerate(("train-00000-of-00002", "train-00001-of-00002")):
        columns = {"image": images(faces[:2]), "label": [number, 2], "person": ["p", "q"]}
        write_parquet(root / f"{name}.parquet", columns, ["angry", "happy", "sad"])
    write_parquet(
        root / "test" / "0000.parquet",
        {"image": images(faces[2:]), "label": [1, 1]},
        ["angry", "happy", "sad"],
    )
    reader = HuggingFace(root)

    assert sorted(reader.splits) == ["test", "train"]
    assert reader.classes == ("happiness", "sadness", "anger")
    train = reader.load("train")
    assert [train.classes[s.label] for s in train.samples] == [
        "anger",
        "sadness",
        "happiness",
        "sadness",
    ]
    assert train.samples[0].name == "train-00000-of-00002.parquet:0"
    assert (
        decode(train.samples[1].source).tobytes() == decode(tmp_path / "made" / "1.png").tobytes()
    )


def test_named_columns(tmp_path, faces):
    columns = {
        "face": faces,
        "feeling": ["sad", "happy", "sad", "sad"],
        "who": ["a", "b", "a", "b"],
    }
    root = write_parquet(tmp_path / "data" / "train.parquet", columns).parent
    with pytest.raises(DataError, match=r"no column of labels.*label=COLUMN"):
        HuggingFace(root)
    with pytest.raises(DataError, match=r"column 'feelings' is missing.*Did you mean 'feeling'"):
        HuggingFace(root, label="feelings")
    split = HuggingFace(root, label="feeling", subject="who").load("train")
    assert [split.classes[s.label] for s in split.samples] == [
        "sadness",
        "happiness",
        "sadness",
        "sadness",
    ]
    assert [s.subject for s in split.samples] == ["a", "b", "a", "b"]


def test_numbers_without_names(tmp_path, faces):
    root = write_parquet(
        tmp_path / "d" / "train.parquet", {"image": faces, "label": [1, 2, 3, 7]}
    ).parent
    with pytest.raises(DataError, match=r"are numbers.*codes=rafdb"):
        HuggingFace(root)
    assert HuggingFace(root, codes="rafdb").classes == ("neutral", "surprise", "disgust", "fear")
    card = (
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        "        names:\n"
    )
    lines = "".join(f"          '{i}': {name}\n" for i, name in enumerate("abcdefgh"))
    write_text(root / "README.md", f"{card}{lines}---\n")
    assert HuggingFace(root).classes == tuple("abcdefgh")


@pytest.mark.parametrize("missing", [-1, None])
def test_rows_without_a_label_are_left_out_and_counted(tmp_path, faces, missing):
    columns = {"image": images(faces), "label": [1, missing, 0, missing]}
    reader = HuggingFace(
        write_parquet(tmp_path / "d" / "train.parquet", columns, ["angry", "happy"]).parent
    )
    split = reader.load("train")
    assert [s.name for s in split.samples] == ["train.parquet:0", "train.parquet:2"]
    assert [split.classes[s.label] for s in split.samples] == ["happiness", "anger"]
    (finding,) = check_dataset(reader, quiet=True).findings
    assert finding.kind == "unlabeled"
    assert finding.message == "2 rows of train have no label and are left out"
    assert finding.examples == ("train.parquet:1", "train.parquet:3")


def test_numbers_without_names_may_lack_labels(tmp_path, faces):
    columns = {"image": images(faces), "label": [1.0, -1.0, None, float("nan")]}
    root = write_parquet(tmp_path / "d" / "train.parquet", columns).parent
    reader = HuggingFace(root, codes="rafdb")
    assert reader.classes == ("surprise",)
    assert len(reader.load("train")) == 1


@pytest.mark.parametrize("missing", [-1, None])
def test_split_without_labels(tmp_path, faces, missing):
    root = tmp_path / "d"
    names = ["angry", "happy"]
    labels = pyarrow.array([missing] * 4, pyarrow.int64())
    write_parquet(root / "test.parquet", {"image": images(faces), "label": labels}, names)
    message = r"'test' of huggingface has no labels.*column 'label'.*null or -1 in each of its 4"
    with pytest.raises(DataError, match=rf"{message} rows\. Get a split with labels"):
        HuggingFace(root)

    write_parquet(root / "train.parquet", {"image": images(faces), "label": [0, 1, 1, 0]}, names)
    reader = HuggingFace(root)
    assert reader.splits == ("train",)
    assert len(reader.load("train")) == 4
    with pytest.raises(DataError, match=rf"{message} rows\. Use another split: train"):
        reader.load("test")
    (finding,) = reader.remarks()
    assert finding.message == "the split test has no labels and is left out, 4 rows"


def test_labels_without_a_name_are_counted(tmp_path, faces):
    names = ["angry", "happy"]
    for split, labels in (("train", [0, 9, 2, 1]), ("test", [9, None, -1, -2])):
        columns = {"image": images(faces), "label": labels}
        root = write_parquet(tmp_path / "d" / f"{split}.parquet", columns, names).parent
    found = r"'label'\); expected 0 angry, 1 happy; found 2 \(1\), 9 \(2\), -2 \(1\)"
    with pytest.raises(DataError, match=found):
        HuggingFace(root)


def test_images_may_have_their_path_before_their_bytes(tmp_path, faces):
    values = [{"path": f"{i}.png", "bytes": face} for i, face in enumerate(faces)]
    kind = pyarrow.struct([("path", pyarrow.string()), ("bytes", pyarrow.binary())])
    path = tmp_path / "d" / "train.parquet"
    path.parent.mkdir()
    table = pyarrow.table({"face": pyarrow.array(values, kind), "label": ["sad"] * 4})
    parquet.write_table(table, path)
    sample = HuggingFace(path.parent).load("train").samples[1]
    assert decode(sample.source).tobytes() == decode(tmp_path / "made" / "1.png").tobytes()


def test_damaged_images_and_files(tmp_path, faces):
    columns = {"image": images([faces[0], b"nothing"]), "label": ["sad", "happy"]}
    root = write_parquet(tmp_path / "d" / "train.parquet", columns).parent
    sample = HuggingFace(root).load("train").samples[1]
    with pytest.raises(DataError, match="content that is not a JPEG"):
        decode(sample.source)

    write_parquet(
        root / "train.parquet", {"image": [{"bytes": None, "path": "a.png"}], "label": ["sad"]}
    )
    with pytest.raises(DataError, match="outside the Parquet file"):
        HuggingFace(root).load("train")
    write_text(root / "train.parquet", "PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        HuggingFace(root)


def test_hub_is_asked_only_by_its_prefix(tmp_path, faces, monkeypatch):
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options["revision"]))
        if options["revision"] is None:
            raise OSError("no such revision")
        return str(tmp_path / "cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(LayoutError, match="no such folder"):
        HuggingFace("user/faces")
    assert asked == []

    write_parquet(tmp_path / "cache" / "train.parquet", {"image": faces, "label": ["sad"] * 4})
    assert len(HuggingFace("hub:user/faces").load("train")) == 4
    assert asked == [("user/faces", None), ("user/faces", "refs/convert/parquet")]
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: 1 / 0)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    message = r"'user/faces' cannot be taken from the hub.*no connection to the hub"
    with pytest.raises(DataError, match=message):
        hub_dataset.download_dataset("user/faces")
