from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import run_ke2nt
from PIL import Image

from ke2nt.cli.output import print_warnings
from ke2nt.datasets.catalog import READERS
from ke2nt.datasets.finding import make_finding


@pytest.fixture
def votes(tmp_path):
    """FER+ with three training faces and no test images."""
    columns = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = ["Training,a.png,9,0,0,0,0,0,1,0,0,0", "Training,b.png,0,9,0,0,0,0,1,0,0,0"]
    rows += ["Training,c.png,0,0,4,4,0,0,0,0,0,0", "PrivateTest,t.png,9,0,0,0,0,0,1,0,0,0"]
    text = "\n".join([f"Usage,Image name,{columns}", *rows])
    (tmp_path / "fer2013new.csv").write_text(text)
    (tmp_path / "FER2013Train").mkdir()
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "FER2013Train" / f"{name}.png")
    return tmp_path


def test_list():
    result = run_ke2nt("data", "list", "--json")
    assert result.returncode == 0
    assert result.stderr == ""
    found = {entry["name"]: entry for entry in json.loads(result.stdout)}
    assert list(found) == list(READERS)
    assert found["ferplus"]["options"] == {"rule": "majority"}
    assert "fer2013new.csv" in found["ferplus"]["expected_tree"]
    assert found["affectnet7"]["splits"] == ["train", "val"]


def test_info_counts_by_rule_and_without_the_images(votes):
    result = run_ke2nt("data", "info", "ferplus", votes, "--rule", "plurality8", "--json")
    assert result.returncode == 0
    splits = json.loads(result.stdout)["splits"]
    assert splits["train"]["samples"] == 3
    assert splits["train"]["classes"]["surprise"] == 1
    assert splits["test"]["images_missing"] == 1
    plain = run_ke2nt("data", "info", "ferplus", votes, "--option", "rule=majority")
    assert plain.returncode == 0
    row = next(line for line in plain.stdout.splitlines() if "samples" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")[1:]] == ["2", "0", "1"]


def test_check_exits_with_1_if_a_split_is_unusable(votes):
    result = run_ke2nt("data", "check", "ferplus", votes, "--json")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert {f["kind"] for f in report["findings"] if f["level"] == "error"} == {
        "missing",
        "empty_split",
    }
    assert all(finding["hint"] for finding in report["findings"])
    train = run_ke2nt("data", "check", "ferplus", votes, "--split", "train")
    assert train.returncode == 0
    assert "warning: train has no samples of surprise" in train.stdout
    assert (
        run_ke2nt("data", "check", "ferplus", votes, "--split", "train", "--strict").returncode == 1
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("info", "fer", "."), "Did you mean"),
        (("info", "rafdb", "."), "EmoLabel/list_patition_label.txt"),
        (("check", "ferplus", ".", "--option", "rule"), "NAME=VALUE"),
    ],
)
def test_errors_are_one_line_with_exit_code_2(tmp_path, arguments, reason):
    result = run_ke2nt("data", *(tmp_path if a == "." else a for a in arguments), "--json")
    assert result.returncode == 2
    assert result.stdout == ""
    assert reason in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_drawn_faces_pass_the_check(tmp_path):
    out = tmp_path / "faces"
    result = run_ke2nt("data", "synth", out, "--count", 80, "--size", 32, "--seed", 3, "--json")
    assert result.returncode == 0, result.stderr
    splits = json.loads(result.stdout)["splits"]
    assert sum(split["faces"] for split in splits.values()) == 80
    checked = run_ke2nt("data", "check", "manifest", out, "--json")
    assert checked.returncode == 0
    report = json.loads(checked.stdout)
    assert {n: s["samples"] for n, s in report["splits"].items()} == {
        name: split["faces"] for name, split in splits.items()
    }
    assert all(finding["level"] == "note" for finding in report["findings"])


def test_drawn_faces_need_no_folder():
    result = run_ke2nt("data", "info", "drawn", "--option", "count=40", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["root"] is None


def test_folder_in_place_of_a_name(votes):
    result = run_ke2nt("data", "check", votes)
    assert result.returncode == 2
    assert "The layout of ferplus was found" in result.stderr


def test_info_says_how_the_data_is_read(votes, tmp_path):
    for number in range(1, 8):
        folder = tmp_path / "faces" / "train" / str(number)
        folder.mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "0.png")
    result = run_ke2nt("data", "info", "rafdb", tmp_path / "faces")
    assert "note: class folders are numbers, read as 1 surprise, 2 fear" in result.stdout
    result = run_ke2nt("data", "info", "rafdb", tmp_path / "faces", "--json")
    assert [remark["kind"] for remark in json.loads(result.stdout)["remarks"]] == [
        "numbered_classes"
    ]


def test_warnings_of_a_reader_go_to_stderr(capsys):
    level = {"warning": "to rename", "note": "good to know"}
    print_warnings(
        [make_finding(name, "kind", message, ["x"], "Do it") for name, message in level.items()]
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "warning: to rename. Do it\n"
