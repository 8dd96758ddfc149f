"""One epoch of each kind of shipped configuration, with its schedule, selection and stages."""

from __future__ import annotations

import pytest

from ke2nt.config.load import load_config
from ke2nt.training.train_recognizer import train

# what makes any of them small, and nothing that decides on the course of a run
SMALL = (
    "optim.epochs=1",
    "data.name=folder",
    "data.workers=0",
    "model.backbone=test_resnet",
    "model.backbone_options={}",
    "model.stem=standard",
    "model.image_size=24",
    "model.weights=null",
    "text.encoder=minilm",
    "text.prompts=paper",
    "optim.batch_size=8",
    "device=cpu",
    "precision=fp32",
)


@pytest.mark.parametrize(
    "name",
    [
        "ferplus_few_labels",  # the last epoch, an interval of 1,000 epochs, a share of the labels
        "ferplus_resnet18_dsan",  # attention heads
        "ferplus_resnet18_long",  # a long warm-up, mixup, images on the device
        "rafdb_resnet18",  # a constant warm-up, SGD, no average, a carved split
    ],
)
def test_one_epoch_leaves_an_evaluated_model(name, faces, tmp_path):
    changes = [*SMALL, f"data.root={faces}", f"out={tmp_path / name}", "data.fraction=1"]
    result = train(load_config(name, changes), quiet=True)
    (record,) = result.progress.records
    assert record["kept"]
    assert record["lr"] > 0
    assert result.run.read("run.json")["status"] == "finished"
    assert (result.run.model / "model.safetensors").is_file()


def test_one_epoch_after_a_first_stage(faces, tmp_path):
    """`optim.epochs` is the number of the second stage; the first one has its own, here 1, too."""
    rows = []
    for path in sorted(faces.rglob("*.png")):
        gender = ("woman", "man")[int(path.stem) % 2]
        rows.append(f"{path},{path.parent.name},{path.parent.parent.name},{gender}")
    people = tmp_path / "people.csv"
    people.write_text("\n".join(["path,label,split,attr:gender", *rows]) + "\n")
    changes = ["data.name=manifest", f"data.root={people}", "pretrain.attributes=[gender]"]
    run = ["pretrain.epochs=1", f"out={tmp_path / 'run'}"]
    config = load_config("rafdb_dsan", [*SMALL, *changes, *run])

    # the checkpoints of both stages go, their weights stay
    result = train(config, quiet=True)
    assert result.progress.records[0]["kept"]
    assert not list(result.run.path.rglob("checkpoints"))
    assert (result.run.path / "pretrain" / "image_side.safetensors").is_file()
