from __future__ import annotations

from collections import Counter

import pytest
from laboratory_trees import OULU, write_oulu

from ke2nt.datasets.oulucasia import OuluCASIA
from ke2nt.errors import DataError, LayoutError


def test_last_frames_and_first_as_neutral(tmp_path):
    split = OuluCASIA(write_oulu(tmp_path)).load("all")
    counts = Counter(split.classes[sample.label] for sample in split.samples)
    assert counts == {"neutral": 18, **{name.lower(): 9 for name in OULU}}

    anger = [s for s in split.samples if "P001/Anger" in s.name]
    assert [s.source.name for s in anger] == ["000.jpeg", "002.jpeg", "003.jpeg", "004.jpeg"]
    assert {s.subject for s in split.samples} == {"P001", "P002", "P003"}


def test_without_neutral(tmp_path):
    reader = OuluCASIA(write_oulu(tmp_path, people=1), neutral=False)
    assert reader.classes[0] == "anger"
    assert len(reader.load("all")) == 18


@pytest.mark.parametrize(
    ("top", "options"),
    [
        ("PreProcess_Img/NI_Acropped/Weak", {"spectrum": "infrared", "light": "weak"}),
        ("OriginalImg/VL/Dark", {"light": "dark", "images": "original"}),
        ("PreProcess_Img/PreProcess Img/VL_Acropped/Strong", {}),
        ("VL_Acropped/Strong", {}),
    ],
)
def test_conditions(tmp_path, top, options):
    write_oulu(tmp_path, people=1, top=top)
    assert len(OuluCASIA(tmp_path, **options).load("all")) == 24
    with pytest.raises(DataError, match=r"no cropped images of infrared light, strong.*spectrum="):
        OuluCASIA(tmp_path, spectrum="infrared")


def test_folds_never_share_a_person(tmp_path):
    write_oulu(tmp_path)
    parts = [
        {s.subject for s in OuluCASIA(tmp_path, folds=3, fold=1).load(split).samples}
        for split in ("train", "val", "test")
    ]
    assert parts == [{"P001"}, {"P003"}, {"P002"}]


def test_wrong_values(tmp_path):
    write_oulu(tmp_path, people=1)
    with pytest.raises(DataError, match=r"unknown condition 'bright'.*strong, weak, dark"):
        OuluCASIA(tmp_path, light="bright")
    with pytest.raises(LayoutError, match=r"VL_Acropped/Strong/P001.*found Anger/"):
        OuluCASIA(tmp_path / "PreProcess_Img/VL_Acropped/Strong/P001")
    (tmp_path / "PreProcess_Img/VL_Acropped/Strong/P001/Fear").rename(
        tmp_path / "PreProcess_Img/VL_Acropped/Strong/P001/Fright"
    )
    with pytest.raises(DataError, match=r"unknown expressions.*found Fright \(1\)"):
        OuluCASIA(tmp_path).load("all")
