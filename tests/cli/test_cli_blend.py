"""`ke2nt blend` in this process: table, files, and what it refuses before any work."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from trust_fixtures import draw_faces, run_here, save_model

from ke2nt.models.load import load_model

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    first, second = save_model(root / "zero"), root / "tuned"
    model = load_model(first)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.projection.weight += 0.3 * torch.randn(16, model.backbone.width, generator=generator)
    model.save_pretrained(second)
    return first, second


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"), per_class=4)


@pytest.fixture
def blend(monkeypatch, capfd):
    def run(*arguments):
        fixed = ("--device", "cpu", "--bootstrap", "0", "--quiet")
        return run_here(monkeypatch, capfd, "blend", *arguments, *fixed)

    return run


def test_curve_model_and_tables(blend, models, faces, tmp_path):
    out = tmp_path / "out"
    target = f"folder={faces},split=train"
    away = f"corruptions={faces},of=folder,kind=jpeg,severity=5,split=val,as=jpeg"
    options = ("--alpha", "0:1:0.5", "--out", out, "--table", tmp_path / "t.csv")
    code, printed, err = blend(*models, "--on", target, "--on", away, *options)
    assert (code, err) == (0, "")
    assert "chosen: " in printed
    assert "folder val" in printed
    assert "statistics of batch normalization are averaged" in printed

    value = json.loads((out / "blend.json").read_text())
    assert [point["label"] for point in value["points"]] == ["0", "0.5", "1"]
    assert value["choice"]["split"] == "val"
    assert (out / "blend.png").read_bytes().startswith(PNG)
    assert load_model(out).card["blended"]["method"] == "interpolation"

    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert len(rows) == 3
    assert float(rows[0]["jpeg uar"]) == pytest.approx(
        value["points"][0]["evaluations"]["jpeg"]["uar"], abs=1e-6
    )
    assert (tmp_path / "t-metrics.csv").is_file()


def test_soup_as_json(blend, models, faces, tmp_path):
    on = ("--on", f"folder={faces},split=val")
    code, printed, _ = blend(*models, *on, "--soup", "greedy", "--out", tmp_path / "o", "--json")
    assert code == 0
    value = json.loads(printed)
    assert value["method"] == "greedy"
    assert value["chosen"] == "greedy soup"
    assert any("optimistic" in note for note in value["notes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--alpha", "0:2:0.5"), "alpha is the share of the second model; expected numbers from"),
        (("--alpha", "x"), "--alpha cannot be read"),
        (("--choose-on", "folder=absent"), "absent"),
        (("--soup", "thin"), "thin"),
    ],
)
def test_impossible_values_write_nothing(blend, models, faces, tmp_path, change, message):
    out = tmp_path / "out"
    code, printed, err = blend(*models, "--on", f"folder={faces},split=val", "--out", out, *change)
    assert code == 2
    assert message in err
    assert printed == ""
    assert not out.exists()


def test_a_foreign_folder_is_refused_first(blend, models, faces, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    on = ("--on", f"folder={faces},split=val")
    code, _, err = blend(*models, *on, "--out", tmp_path)
    assert code == 2
    assert "holds other files" in err
    code, _, err = blend(models[0], tmp_path / "absent", *on, "--out", tmp_path / "new")
    assert code == 2
    assert "no saved model" in err
