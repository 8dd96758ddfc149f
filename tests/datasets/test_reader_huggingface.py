from __future__ import annotations

import json

import pytest
from reader_trees import write_image, write_text

from ke2nt.data.images import decode
from ke2nt.datasets import hub_dataset
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
