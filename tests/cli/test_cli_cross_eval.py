"""`ke2nt cross-eval` through the entry point: tables, JSON, files, exit codes."""

from __future__ import annotations

import csv
import json

import pytest
from command_line import run_ke2nt
from trust_fixtures import CLASSES, draw_faces, run_here, save_model

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("run") / "tiny")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"), per_class=3)


@pytest.fixture
def cross_eval(monkeypatch, capfd):
    def run(*arguments):
        fixed = ("--device", "cpu", "--bootstrap", "50", "--quiet")
        return run_here(monkeypatch, capfd, "cross-eval", *arguments, *fixed)

    return run


def test_matrix_of_models_and_datasets(model, faces, tmp_path):
    out = tmp_path / "out"
    words = ["cross-eval", model, "--on", f"folder={faces},split=val", "--device", "cpu"]
    words += ["--on", f"corruptions={faces},of=folder,kind=jpeg,severity=5,split=val,as=jpeg"]
    done = run_ke2nt(*words, "--out", out, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert value == json.loads((out / "cross_eval.json").read_text())
    assert [cell["target"] for cell in value["cells"]] == ["folder val", "jpeg"]
    assert value["cells"][0]["n"] == 9
    assert value["targets"][1]["options"] == {"of": "folder", "kind": "jpeg", "severity": 5}
    assert (out / "cross_eval.png").read_bytes().startswith(PNG)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{100 * value['cells'][1]['uar']:.1f}</td>" in page
    assert "labels, tiny on jpeg: label sets agree" in page
    assert str(model) in page


def test_tables_and_failures(cross_eval, model, faces, tmp_path):
    code, out, err = cross_eval(
        *(model, tmp_path / "absent"),
        *("--on", f"folder={faces},split=val", "--on", f"rafdb={faces}"),
        *("--out", tmp_path / "out", "--table", tmp_path / "t.csv"),
    )
    assert code == 1

    # failed pairs keep their rows, with the reason
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [bool(row["uar"]) for row in rows] == [True, False, False, False]
    assert rows[3]["error"].startswith("no saved model")
    matrix = list(csv.reader((tmp_path / "t-uar.csv").open()))
    assert matrix[0] == ["model", "folder val", "rafdb"]
    assert matrix[1:] == [["tiny", rows[0]["uar"], ""], ["absent", "", ""]]
    assert len(list(csv.reader((tmp_path / "t-recall.csv").open()))) == 5
    assert "WAR, percent" in out
    assert "labels, tiny on folder val: label sets agree" in out
    row = next(line for line in out.splitlines() if "tiny" in line and "folder val" in line)
    assert row.split("│")[3:5] == ["        9 ", "         3 "]
    assert err.startswith(f"warning: {tmp_path / 'absent'}: no saved model")  # before the work
    assert err.count("failed: ") == 2
    assert f"failed: {tmp_path / 'absent'} on folder val, {tmp_path / 'absent'} on rafdb: no" in err
    assert f"failed: {model} on rafdb: the folder does not have the layout of rafdb" in err
    assert len(json.loads((tmp_path / "out" / "cross_eval.json").read_text())["cells"]) == 4


def test_merged_and_dropped_classes_are_printed(cross_eval, model, faces, tmp_path):
    for name in ("contempt", "fear", "happiness"):
        (tmp_path / "val" / name).mkdir(parents=True)
        source = faces / "val" / "anger" / "0.png"
        (tmp_path / "val" / name / "0.png").write_bytes(source.read_bytes())
    code, out, _ = cross_eval(model, "--on", f"folder={tmp_path}", "--merge", "contempt=anger")
    assert code == 0
    assert "contempt → anger; dropped from the data: fear; classes of the model that" in out
    assert "(1 images)" in out


def test_all_pairs_fail(cross_eval, model, tmp_path):
    code, out, err = cross_eval(model, "--on", f"folder={tmp_path}", "--json")
    assert code == 2
    assert json.loads(out)["cells"][0]["error"]
    assert err.startswith("failed: ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--on", "fodler=/x"], "Did you mean 'folder'"),
        (["--on", "folder=/a", "--on", "folder=/b"], "two datasets have the name 'folder'"),
        (["--on", "drawn", "--kind", "jpeg"], "need --robustness"),
        ([], "Missing option"),
    ],
)
def test_errors_are_one_line(cross_eval, model, words, text):
    code, out, err = cross_eval(model, *words)
    assert (code, out) == (2, "")
    assert text in err.replace("'--on'", "")
    assert err.count("\n") == 1


def test_robustness(cross_eval, model, faces, tmp_path):
    sweep = ("--robustness", "--kind", "jpeg", "--kind", "contrast", "--severity", "2")
    out = tmp_path / "out"
    target = f"folder={faces},split=val"
    code, text, err = cross_eval(
        model, "--on", target, *sweep, "--out", out, "--table", tmp_path / "r.csv"
    )
    assert (code, err) == (0, "")
    entry = json.loads((out / "robustness.json").read_text())[0]
    assert [(c["kind"], c["severity"]) for c in entry["cells"]] == [("jpeg", 2), ("contrast", 2)]
    assert (out / entry["picture"]).read_bytes().startswith(PNG)
    assert "UAR, percent, at severity" in text

    (mean,) = csv.DictReader((tmp_path / "r.csv").open())
    assert float(mean["corrupted_uar"]) == entry["mean"]["uar"]
    rows = list(csv.DictReader((tmp_path / "r-corruptions.csv").open()))
    assert [(row["corruption"], row["severity"]) for row in rows] == [
        ("none", "0"), ("jpeg", "2"), ("contrast", "2"),
    ]  # fmt: skip
    assert float(rows[2]["ece"]) == entry["cells"][1]["ece"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<h2>tiny on folder val</h2>" in page
    assert page.count(f"{100 * entry['cells'][1]['accuracy']:.1f}</td>") >= 2
    row = next(line for line in text.splitlines() if line.startswith("│ contrast"))
    share = f"{100 * entry['cells'][1]['accuracy']:.1f}"
    assert [cell.strip() for cell in row.split("│")[2:4]] == [share, share]


def test_robustness_with_a_dataset_that_fails(cross_eval, model, faces, tmp_path):
    targets = ("--on", f"folder={tmp_path},as=empty", "--on", f"folder={faces}")
    code, text, err = cross_eval(
        *(model, *targets, "--merge", "contempt=anger"),  # which this data does not have
        *("--robustness", "--kind", "jpeg", "--severity", "1", "--json"),
    )
    assert code == 1
    broken, whole = json.loads(text)
    assert broken["error"]
    assert whole["error"] is None
    assert whole["mean"]["accuracy"] == whole["cells"][0]["accuracy"]
    assert err.startswith(f"failed: {model} on empty: ")
    code, _, err = cross_eval(model, *targets[2:], "--robustness", "--kind", "jpg")
    assert code == 2
    assert "Did you mean 'jpeg'" in err


def test_corruption_sheet(monkeypatch, capfd, faces, tmp_path):
    image = faces / "val" / CLASSES[0] / "0.png"
    sheet = tmp_path / "sheet.png"
    code, out, _ = run_here(monkeypatch, capfd, "data", "corruptions", sheet, "--image", image)
    assert (code, out.strip()) == (0, f"written to {sheet}")
    assert sheet.read_bytes().startswith(PNG)
    (tmp_path / "broken.png").write_bytes(b"broken")
    words = ("data", "corruptions", tmp_path / "none.png", "--image", tmp_path / "broken.png")
    assert run_here(monkeypatch, capfd, *words)[0] == 2
    assert not (tmp_path / "none.png").exists()
