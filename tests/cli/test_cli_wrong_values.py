"""Mistyped values: one line that says what is wrong, exit code 2, never a traceback."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from command_line import run_ke2nt
from PIL import Image
from reader_trees import write_ferplus

NOTHING_DECODED = "import ke2nt.datasets.pack as pack; pack.decode = None"

SMALL = "device=cpu data.options={count: 64, size: 32} model.image_size=32 --quiet --out out"
FACES = "--dataset drawn --split val --option count=64 --option size=32"

TRAIN = [
    ("optim.betas=[2,3]", "optim.betas.0"),
    ("optim.name=sgd optim.nesterov=true optim.momentum=0", "nesterov needs a momentum"),
    ("data.options={root: x}", "drawn has no option 'root'"),
    ("data.options={name: x}", "drawn has no option 'name'"),
    ("data.options={style: [1]}", "invalid style for"),
    ("data.options={workers: x}", "invalid workers for drawn; expected int"),
    ("data.options={seed: true}", "invalid seed for"),
    ("data.name=corruptions data.options={of: drawn, root: x}", "has no option 'root'"),
    ("data.name=folder data.root=. data.options={classes: 5}", "invalid classes for"),
    ("data.name=packed data.root=packed data.options={rule: x}", "'data.options={}'"),
    ("model.backbone_options={in_chans: 1}", "may not set in_chans"),
    ("model.backbone_options={stem: x, name: y}", "may not set name, stem"),
    ("optim.batch_size=1 model.stem=standard optim.epochs=2", "optim.batch_size at least 2"),
    ("optim.lrr=3", "optim.lrr, did you mean optim.lr? (in quickstart.yaml or the values given"),
]
OTHERS = [
    ("bench train --batch 1", "--batch"),
    ("bench infer ke2nt/ferplus-faces --size 64", "Leave it out"),
    (f"evaluate ke2nt/ferplus-faces {FACES} --device meta", "'meta' cannot be used"),
    (f"evaluate ke2nt/ferplus-faces {FACES} --seed=-5", "--seed"),
    (
        f"evaluate ke2nt/ferplus-faces {FACES} --option root=x",
        "has no option 'root'",
    ),
    ("data info ferplus . --rule majority --option rule=plurality8", "the rule is given twice"),
    ("train --resume packed", "no run to resume"),
    ("prompts geometry paper --out packed/train.json", "cannot create the output folder"),
    (
        "explain ke2nt/ferplus-faces x.png --out packed/train.json",
        "cannot create the output folder",
    ),
    ("predict x.png --annotate packed/train.json", "another folder with --annotate"),
    ("cross-eval ke2nt/ferplus-faces --on folder=x,split=val,root=y", "has no option 'root'"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a packed dataset."""
    place = tmp_path_factory.mktemp("place")
    done = run_ke2nt("data", "synth", "faces", "--count", "64", "--size", "32", cwd=place)
    assert done.returncode == 0, done.stderr
    words = "manifest", "faces", "--size", "32", "--out", "packed"
    done = run_ke2nt("data", "pack", *words, cwd=place)
    assert "data.name=packed data.root=packed 'data.options={}'" in done.stdout
    return place


def check(place, words, reason):
    done = run_ke2nt(*words, cwd=place)
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(("changes", "reason"), TRAIN)
def test_mistyped_training_values(place, changes, reason):
    own = changes.replace("={", "='{").replace("}", "}'") if "{" in changes else changes
    small = SMALL.replace("={", "='{").replace("}", "}'")
    check(place, ["train", "quickstart", *shlex.split(f"{small} {own}")], reason)


@pytest.mark.parametrize(("line", "reason"), OTHERS)
def test_mistyped_values_of_other_commands(place, line, reason):
    check(place, shlex.split(line), reason)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("ke2nt data list --json > /dev/full", 2, "error: No space left on device"),
        ("(ke2nt data list --json; echo $? >&2) | true", 0, "1"),  # nobody reads it
        ("ke2nt data list >&-", 0, ""),
    ],
)
def test_full_or_closed_stdout(tmp_path, line, code, words):
    line = line.replace("ke2nt", f"{sys.executable} -m ke2nt")
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.strip() == words


def test_missing_split_is_found_before_any_image_is_decoded(tmp_path):
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [f"{usage},fer{i}.png,0,10,0,0,0,0,0,0,0,0" for i, usage in enumerate(usages)]
    root = write_ferplus(tmp_path / "ferplus", rows)
    shutil.rmtree(root / "FER2013Test")
    words = "ferplus", root, "--out", tmp_path / "packed"
    done = run_ke2nt("data", "pack", *words, before=NOTHING_DECODED)
    assert done.returncode == 2
    assert "To pack the others, add --split train --split val" in done.stderr
    assert not (tmp_path / "packed").exists()
    done = run_ke2nt("data", "pack", *words, "--split", "train", "--split", "val")
    assert done.returncode == 0, done.stderr


def test_terminated_process_leaves_nothing_half_done(place):
    end = "import os, signal, ke2nt.datasets.pack as pack; "
    end += "pack.decode = lambda *a, **o: os.kill(os.getpid(), signal.SIGTERM)"
    words = "manifest", "faces", "--size", "32", "--out", "ended"
    done = run_ke2nt("data", "pack", *words, cwd=place, before=end)
    assert done.returncode == 128 + signal.SIGTERM
    assert not [path for path in place.iterdir() if "ended" in path.name]


def test_classes_that_differ_only_in_case(tmp_path):
    for name in ("train/Tired", "train/sad", "val/tired", "val/hapiness"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    done = run_ke2nt("data", "info", "folder", tmp_path)
    assert done.returncode == 2
    words = "found Tired, tired. 'hapiness' is not an expression. Did you mean 'happiness'?"
    assert words in done.stderr
    (tmp_path / "train" / "Tired").rename(tmp_path / "train" / "Happy")
    (tmp_path / "val" / "tired").rename(tmp_path / "val" / "happy")  # known: one class
    assert run_ke2nt("data", "info", "folder", tmp_path).returncode == 0
