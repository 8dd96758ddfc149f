"""The targets of configs/cross_domain.yaml, on miniature trees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from laboratory_trees import write_expw, write_jaffe, write_sfew
from reader_trees import write_ckplus, write_image

from ke2nt.evaluation.targets import Target
from ke2nt.labels import DATASET_LABELS, map_labels
from ke2nt.resources import list_resources

TEXT = Path(list_resources("configs")["cross_domain"]).read_text(encoding="utf-8")


def write_fer2013(root):
    for name in DATASET_LABELS["fer2013"]:
        write_image(root / "test" / name / "0.png", size=4)


TREES = {
    "ckplus": lambda r: write_ckplus(r, {f"S00{i}/001": (5, float(i)) for i in range(1, 8)}),
    "jaffe": write_jaffe,
    "sfew": write_sfew,
    "fer2013": write_fer2013,
    "expw": lambda r: write_expw(r, [f"{i}.jpg 0 0 0 8 8 50 {i}" for i in range(7)]),
}


@pytest.mark.parametrize("name", TREES)
def test_target_has_the_classes_of_the_source(tmp_path, name):
    text = next(t for t in re.findall(r"--on (\S+)", TEXT) if t.startswith(f"{name}="))
    TREES[name](tmp_path)
    split = Target.parse(text.replace("DIR", str(tmp_path))).load()

    mapping = map_labels(split.classes, DATASET_LABELS["rafdb"], policy="drop")
    assert mapping.unused == ()
    assert mapping.dropped == (("contempt",) if name == "ckplus" else ())
    labels = {mapping.index[sample.label] for sample in split.samples}
    assert labels - {None} == set(range(7))
