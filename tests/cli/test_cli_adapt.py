"""`ke2nt adapt` through the entry point."""

from __future__ import annotations

import json
import sys

import pytest
from command_line import run_ke2nt

from ke2nt.cli import main as command_line
from ke2nt.drawn.dataset import DrawnFaces


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of eight unlabeled faces and one broken file."""
    from PIL import Image

    root = tmp_path_factory.mktemp("bare") / "my photos"
    root.mkdir()
    for face in DrawnFaces(24, size=48).to_split("train", workers=1).samples[:8]:
        Image.fromarray(face.source).save(root / f"{face.name}.png")
    (root / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture
def ke2nt(monkeypatch, capfd, tmp_path):
    """Run the entry point in this process; return exit code, stdout, stderr."""

    def run(*words: str):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ke2nt", *words])
        command_line.app.registered_commands.clear()
        command_line.app.registered_groups.clear()
        with pytest.raises(SystemExit) as stop:
            command_line.main()
        return stop.value.code or 0, *capfd.readouterr()

    return run


def test_adapt_to_a_folder_of_unlabeled_images(tmp_path, faces):
    words = ["adapt", "--model", "ke2nt/ferplus-faces", "--target", f"folder={faces}"]
    done = run_ke2nt(*words, "--out", "a run", "--json", "optim.epochs=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    # eight faces are too few to trust the result, and the report says so
    facts = json.loads(done.stdout)
    assert facts["run"] == "a run"
    assert facts["n"] == 8
    assert facts["method"] == "entropy"
    assert 0 <= facts["changed"] <= 1
    assert sum(facts["after"]["shares"]) == pytest.approx(1)
    assert facts["trust"]["level"] == "check first"
    assert [failed["name"] for failed in facts["unreadable"]] == ["broken.png"]
    assert facts["figures"] == {"before": None, "after": None}

    page = (tmp_path / "a run" / "report.html").read_text(encoding="utf-8")
    assert "adapted to 8 images; hundreds are needed" in page
    assert json.loads((tmp_path / "a run" / "adaptation.json").read_text())["n"] == 8
    assert (tmp_path / "a run" / "model" / "README.md").is_file()


def test_table_of_changes_and_resume_of_a_finished_run(ke2nt, faces):
    short = ["--model", "ke2nt/ferplus-faces", "--target", f"folder={faces}"]
    code, out, err = ke2nt("adapt", *short, "--method", "statistics", "--out", "run", "--quiet")
    assert code == 0, err
    assert "the prediction changed for" in out
    assert "of 8 images" in out
    assert "mean confidence" in out
    assert "kept: no choice: one pass over the target" in out
    assert err == "unreadable: broken.png: " + err.removeprefix("unreadable: broken.png: ")
    again = ke2nt("adapt", "--resume", "run", "--quiet")
    assert again[0] == 0
    assert again[1] == out


def test_mistyped_adaptation_leaves_the_folder_free(ke2nt, tmp_path, faces):
    words = "--model", "ke2nt/ferplus-faces", "--target", f"folder={faces}", "--out", "again"
    code, _, err = ke2nt("adapt", *words, "--source", "folder=nowhere", "--method", "coral")
    assert code == 2
    assert not (tmp_path / "again").exists(), err
    assert ke2nt("adapt", *words, "--method", "statistics", "device=cpu")[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "name a configuration, or a model and a target"),
        (["--model", "ke2nt/ferplus-faces"], "--target folder=DIR"),
        (["--resume", "nowhere"], "no run to resume"),
        (["adapt", "--resume", "nowhere"], "expected --resume RUN alone; found a configuration"),
        (["adapt", "--model", "nowhere", "--target", "folder=x"], "no saved model"),
        (["adapt", "adapt.methd=dann"], "did you mean adapt.method"),
        (["nothing_like_it"], "no config file or shipped name"),
        (
            ["--model", "ke2nt/ferplus-faces", "--target", "folder=nowhere"],
            "no such folder",
        ),
        (
            ["--model", "ke2nt/ferplus-faces", "--target", "folder=x", "--method", "coral"],
            "needs labeled images of the source; expected --source NAME=DIR",
        ),
        (
            [
                *("--model", "ke2nt/ferplus-faces", "--target", "folder=x"),
                *("--method", "entropy", "--source", "folder=x"),
            ],
            "the method entropy does not use source images",
        ),
        (
            ["--model", "ke2nt/ferplus-faces", "--target", "foldr=x"],
            "unknown dataset 'foldr'",
        ),
        (
            ["--model", "ke2nt/ferplus-faces", "--target", "folder=x", "--method", "dan"],
            "adapt.method",
        ),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(ke2nt, tmp_path, words, expected):
    code, out, err = ke2nt("adapt", *words)
    assert code == 2
    assert expected in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert list(tmp_path.glob("*")) == []
