from __future__ import annotations

import pytest
from laboratory_trees import write_jaffe
from reader_trees import write_image

from ke2nt.datasets.jaffe import JAFFE
from ke2nt.errors import DataError, LayoutError
from ke2nt.labels import DATASET_LABELS


def test_names_carry_person_and_expression(tmp_path):
    split = JAFFE(write_jaffe(tmp_path)).load("all")
    assert [s.label for s in split.samples[:7]] == list(range(7))
    assert split.classes == DATASET_LABELS["jaffe"]
    assert [s.subject for s in split.samples[::7]] == ["KA", "KL", "KM"]


def test_folds(tmp_path):
    reader = JAFFE(write_jaffe(tmp_path), folds=3, fold=0)
    assert {s.subject for s in reader.load("test").samples} == {"KA"}
    with pytest.raises(DataError, match="at most 3"):
        JAFFE(tmp_path, fold=0).load("test")


def test_other_names(tmp_path):
    write_jaffe(tmp_path / "jaffe")
    write_image(tmp_path / "jaffe" / "README.png", size=4)
    (finding,) = JAFFE(tmp_path).remarks()
    assert finding.examples == ("README.png",)

    write_jaffe(tmp_path / "jaffe", people=("KR",), codes=("XX",))
    with pytest.raises(DataError, match=r"unknown codes.*AN, DI.*found XX \(1\)"):
        JAFFE(tmp_path).load("all")


def test_unknown_codes_in_most_names_are_counted(tmp_path):
    write_jaffe(tmp_path, people=("KA", "KL"), codes=("AN", "QQ", "XX"))
    write_jaffe(tmp_path, people=("KM",), codes=("QQ",))
    with pytest.raises(LayoutError, match=r"unknown codes.*QQ \(3\), XX \(2\); known: AN, DI"):
        JAFFE(tmp_path)


def test_wrong_layout(tmp_path):
    write_image(tmp_path / "a.png", size=4)
    with pytest.raises(LayoutError, match=r"KA\.AN1\.39\.tiff"):
        JAFFE(tmp_path)


@pytest.mark.parametrize("name", ["KA.AN1.39.TIFF", "KA/KA.AN1.39.tiff", "angry/KA_AN1_39.png"])
def test_forms_in_folders_and_with_other_names(tmp_path, name):
    write_image(tmp_path / name)
    write_image(tmp_path / name.replace("AN", "HA").replace("angry", "happy"))
    faces = JAFFE(tmp_path).load("all")
    assert [faces.classes[s.label] for s in faces.samples] == ["anger", "happiness"]
    assert not list(JAFFE(tmp_path).remarks())


def test_folder_of_another_class_than_the_name_is_remarked_on(tmp_path):
    write_image(tmp_path / "happy" / "KA.AN1.39.tiff")
    (finding,) = JAFFE(tmp_path).remarks()
    assert finding.kind == "other_folder"
