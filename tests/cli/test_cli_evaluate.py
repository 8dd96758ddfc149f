"""`ke2nt evaluate` on a saved model and a folder of images, through the entry point."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli import main as cli
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model

CLASSES = ("neutral", "happiness", "disgust")
PER_CLASS = 4


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)
    folder = tmp_path_factory.mktemp("run") / "model"
    KE2NT(bank, "mobilenetv3_small_050", 32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / "test" / name).mkdir(parents=True)
        for i in range(PER_CLASS):
            pixels = rng.integers(0, 256, (32, 32, 3), "u1")
            Image.fromarray(pixels).save(root / "test" / name / f"{i}.png")
    (root / "test" / "disgust" / "3.png").write_bytes(b"not an image")
    return root


@pytest.fixture
def ke2nt(monkeypatch, capfd, model_folder, faces):
    """Run `ke2nt evaluate` in this process, as the installed command does."""

    def run(*extra, model=model_folder, root=faces, split="test"):
        arguments = [model, "--dataset", "folder", "--root", root, "--split", split, *extra]
        monkeypatch.setattr(sys, "argv", ["ke2nt", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def expected(model_folder, faces):
    from ke2nt.datasets.catalog import get_reader

    split = get_reader("folder", faces).load("test")
    return evaluate_model(load_model(model_folder), split, bootstrap=200)


def test_json_is_the_evaluation(model_folder, faces, expected):
    arguments = [model_folder, "--dataset", "folder", "--root", faces, "--split", "test"]
    arguments += ["--bootstrap", "200", "--device", "cpu", "--json"]
    done = run_ke2nt("evaluate", *arguments)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value == {
        "model": str(model_folder),
        "options": {},
        "limit": None,
        "notes": [],
        **expected.to_dict(),
    }
    assert value["n"] == 11
    assert value["failed"][0]["name"].endswith("disgust/3.png")


def test_tables(ke2nt, expected):
    code, out, err = ke2nt("--bootstrap", "200", "--quiet")
    assert code == 0
    report = expected.report
    assert "folder test: 11 images" in out
    assert f"{100 * report.accuracy:.1f}" in out
    low, high = report.intervals["uar"]
    assert f"{100 * low:.1f}–{100 * high:.1f}" in out
    for name, row in zip(CLASSES, report.confusion, strict=True):
        line = next(x for x in reversed(out.splitlines()) if name in x)
        assert [int(cell) for cell in line.replace("│", " ").split()[1:]] == row.tolist()
    assert "disgust/3.png" in err


def test_files_and_mirror_images(ke2nt, tmp_path):
    code, out, _ = ke2nt("--flip-tta", "--out", tmp_path / "out", "--json")
    assert code == 0
    folder = tmp_path / "out"
    assert json.loads(out) == json.loads((folder / "metrics.json").read_text())
    assert json.loads(out)["flip_tta"] is True
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    assert len(rows) == 11
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert right / 11 == pytest.approx(json.loads(out)["accuracy"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "each averaged with its mirror image" in page
    assert "A random sample" in page
    assert "disgust/3.png" in page


def test_labels_are_merged_only_on_request(ke2nt, tmp_path, faces):
    root = tmp_path / "test"
    for name in ("neutral", "contempt", "fear"):
        (root / name).mkdir(parents=True)
        for path in sorted((faces / "test" / "neutral").iterdir()):
            (root / name / path.name).write_bytes(path.read_bytes())
    code, _, err = ke2nt(root=tmp_path)
    assert code == 2
    assert err.startswith("error: label sets differ")
    assert err.count("\n") == 1
    code, out, _ = ke2nt("--labels", "drop", "--merge", "contempt=disgust", root=tmp_path)
    assert code == 0
    assert "contempt → disgust" in out
    assert "dropped from the data: fear" in out
    assert "(4 images)" in out
    assert "test: 8 images" in out


def test_limit_is_spread_over_the_split_and_reported(ke2nt):
    code, out, _ = ke2nt("--limit", "3", "--json")
    value = json.loads(out)
    assert code == 0
    assert [c["support"] for c in value["per_class"]] == [1, 1, 1]
    assert "Only 3 images" in value["notes"][0]


@pytest.mark.parametrize(
    ("selection", "note"),
    [
        ({"dataset": "folder", "split": "test", "rule": "best epoch by uar"}, "chosen on this"),
        ({"dataset": "folder", "split": "test", "rule": "last epoch"}, None),
        ({"dataset": "folder", "split": "val", "rule": "best epoch by uar"}, None),
        ({"dataset": "folder", "split": "val", "notes": ["OPTIMISTIC PROTOCOL"]}, "OPTIMISTIC"),
    ],
)
def test_epoch_chosen_on_the_split_is_noted(ke2nt, model_folder, selection, note):
    run = model_folder.parent
    (run / "run.json").write_text(json.dumps({"selection": selection}))
    try:
        code, out, _ = ke2nt("--json", model=run)
    finally:
        (run / "run.json").unlink()
    notes = json.loads(out)["notes"]
    assert code == 0
    assert (note in notes[0]) if note else notes == []


def test_epoch_chosen_on_the_split_is_noted_by_the_card(monkeypatch):
    from ke2nt.cli.evaluation_tables import selection_notes
    from ke2nt.data.sample import FaceSplit

    def notes(split):
        card = load_model("ke2nt/ferplus-resnet18").card
        return selection_notes("no run", card, FaceSplit("ferplus", split, ("a",), ()))

    assert "The epoch was chosen on these images" in notes("val")[0]
    assert notes("test") == []


def test_impossible_output_folder_is_found_before_any_work(ke2nt, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("ke2nt.models.load.load_model", None)
    code, _, err = ke2nt("--out", tmp_path / "file" / "deeper")
    assert code == 2
    assert f"cannot create the output folder; expected a folder; found {tmp_path / 'file'}" in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--merge", "happiness=disgust"), "only the model has happiness after merging"),
        (("--option", "classes"), "--option is not valid"),
        (("--option", "clases=a,b"), "has no option 'clases'"),
        (("--merge", "contempt"), "--merge is not valid"),
        (("--merge", "fear=disgust"), "cannot merge 'fear'"),
        (("--device", "abacus"), "the device 'abacus' cannot be used"),
        (("--labels", "guess"), "Invalid value for '--labels'"),
        (("--rule", "majority"), "has no option 'rule'"),
    ],
)
def test_errors_are_one_line(ke2nt, extra, message):
    code, out, err = ke2nt(*extra)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_wrong_paths_are_one_line(ke2nt, tmp_path):
    for arguments in ({"model": tmp_path}, {"root": tmp_path / "none"}, {"split": "valid"}):
        code, out, err = ke2nt(**arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_groups_of_people_in_table_json_and_page(ke2nt, faces, tmp_path):
    rows = ["path,label,split,attr:gender"]
    for name in CLASSES:
        for i in range(PER_CLASS):
            rows.append(f"test/{name}/{i}.png,{name},test,{('female', 'male')[i % 2]}")
    (faces / "people.csv").write_text("\n".join(rows) + "\n")

    # groups of six and five faces are too small to be compared
    people = ["--dataset", "manifest", "--by", "gender"]
    code, out, err = ke2nt(*people, "--out", tmp_path / "o", root=faces / "people.csv")
    assert code == 0, err
    assert "female (few)" in out
    assert "Fewer than two groups" in out

    report = json.loads((tmp_path / "o" / "metrics.json").read_text())["groups"][0]
    assert report["attribute"] == "gender"
    assert {g["name"]: g["n"] for g in report["groups"]} == {"female": 6, "male": 5}
    page = (tmp_path / "o" / "report.html").read_text()
    assert "<h2>By gender</h2>" in page

    code, _, err = ke2nt(*people[:2], "--by", "height", root=faces / "people.csv")
    assert code == 2
    assert "these faces have gender" in err


def test_tables_and_figures_for_papers(ke2nt, faces, expected, tmp_path):
    table, figures = tmp_path / "r.csv", tmp_path / "figures"
    words = ["--table", table, "--table", tmp_path / "r.tex", "--figures", figures]
    code, out, _ = ke2nt("--bootstrap", "200", "--figure-format", "svg", "--quiet", *words)
    assert code == 0
    assert f"written: {table}, {tmp_path / 'r-classes.csv'}" in out

    (row,) = csv.DictReader(table.open())
    assert (row["dataset"], row["split"], row["n"]) == ("folder", "test", "11")
    assert float(row["uar"]) == expected.report.uar
    assert float(row["accuracy_low"]) == expected.report.intervals["accuracy"][0]
    classes = list(csv.DictReader((tmp_path / "r-classes.csv").open()))
    assert [float(each["recall"]) for each in classes] == [
        each.recall for each in expected.report.per_class
    ]
    confusion = list(csv.reader((tmp_path / "r-confusion.csv").open()))[1:]
    assert [list(map(int, line[1:])) for line in confusion] == expected.report.confusion.tolist()
    assert f"{100 * expected.report.uar:.1f} (" in (tmp_path / "r.tex").read_text()

    names = {"confusion", "recall", "reliability", "coverage", "similarity"}
    assert {path.name for path in figures.iterdir()} == {f"{name}.svg" for name in names}
    assert b"<svg" in (figures / "confusion.svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--table", "r.xls"], "no table format has the suffix '.xls' (in r.xls); expected .csv"),
        (["--figure-format", "png"], "--figure-format needs --figures DIR"),
        (["--figures", "/dev/null"], "Choose another folder with --figures"),
    ],
)
def test_files_for_papers_are_checked_before_the_model(ke2nt, words, text):
    code, _, err = ke2nt(*words, model="absent")
    assert code == 2
    assert text in err
