"""docs/extend.md works: its blocks are written to a package, and its commands run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import run_ke2nt

from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.load import config_from_dict
from ke2nt.plots.figure import encode_png

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
FOR_USERS, FOR_CONTRIBUTORS = PAGE.split("\n## Add a part to ke2nt itself")

# Makes every training as small as possible
SMALL_TRAINING = (
    "device=cpu data.options={count: 64, size: 32} data.workers=0 model.image_size=32 "
    "optim.epochs=1 optim.warmup_epochs=0 optim.batch_size=32 select.every=1"
)
SMALL_BACKBONE = "model.backbone=test_resnet model.backbone_options={} model.stem=standard"
SMALL_ADAPTATION = (
    "model.weights=null target.options={count: 64, size: 32, style: sketch} target.workers=0"
)


def blocks(language):
    """Return (title, text) of the fenced blocks of one language."""
    found = re.findall(rf"^```{language}([^\n]*)\n(.*?)^```", FOR_USERS, re.M | re.S)
    return [(title.strip(), text) for title, text in found]


COMMANDS = [
    line for _, text in blocks("bash") for line in text.splitlines() if line.startswith("ke2nt ")
]


def small(line):
    """Return the words of a command, with settings that make it quick."""
    words = shlex.split(line)[1:]
    if words[0] == "train":
        words += split_overrides(SMALL_TRAINING)
        if "model.backbone" not in line:
            words += split_overrides(SMALL_BACKBONE)
    if words[0] == "adapt":
        words += split_overrides(f"{SMALL_TRAINING} {SMALL_BACKBONE} {SMALL_ADAPTATION}")
    return words


def split_overrides(text):
    return re.findall(r"[\w.]+=(?:\{.*?\}|\S+)", text)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the page, installed as pip would do it, beside the data that it reads."""
    folder = tmp_path_factory.mktemp("my-fer")
    for language in ("python", "yaml", "toml"):
        for title, text in blocks(language):
            if title:
                path = folder / title
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")

    # what pip writes for an installed package
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"my_fer-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    write_entry_points(info, project["entry-points"]["ke2nt.commands"])

    # the data that the page's commands read
    photos = folder / "my-diary" / "photos"
    photos.mkdir(parents=True)
    labels = {}
    for number, label in enumerate(("happiness", "neutral", "happiness")):
        pixels = np.full((16, 16, 3), 80 * number, np.uint8)
        (photos / f"{number}.png").write_bytes(encode_png(pixels))
        labels[f"photos/{number}.png"] = label
    (photos.parent / "diary.json").write_text(json.dumps(labels))
    return folder


def write_entry_points(info, commands):
    lines = [f"{name} = {value}" for name, value in commands.items()]
    (info / "entry_points.txt").write_text("[ke2nt.commands]\n" + "\n".join(lines) + "\n")


def test_the_page_has_every_kind():
    files = [title for language in ("python", "yaml", "toml") for title, _ in blocks(language)]
    assert [file for file in files if file] == [
        "my_fer/losses.py",
        "my_fer/backbones.py",
        "my_fer/datasets.py",
        "my_fer/encoders.py",
        "my_fer/adaptation.py",
        "my_fer/commands.py",
        "my_words.yaml",
        "pyproject.toml",
    ]
    assert len(COMMANDS) >= 12


def test_every_command_runs(package):
    """In the order of the page: some commands read what earlier ones wrote."""
    outputs = {}
    for line in COMMANDS:
        done = run_ke2nt(*small(line), cwd=package)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        outputs[line] = done.stdout

    (counted,) = [text for line, text in outputs.items() if "count-faces" in line]
    assert int(counted) > 0
    config = yaml.safe_load((package / "runs" / "margin" / "config.yaml").read_text())
    assert "my_fer.losses.MarginLoss" in config["loss"]["extra"]
    records = (package / "runs" / "margin" / "log.jsonl").read_text().splitlines()
    assert "MarginLoss" in records[-1]
    model = json.loads((package / "runs" / "tiny" / "model" / "config.json").read_text())
    assert "my_fer.backbones.TinyFaceNet" in json.dumps(model)


@pytest.mark.parametrize("text", [text for title, text in blocks("yaml") if not title])
def test_every_configuration_is_valid(text):
    config_from_dict(yaml.safe_load(text), AdaptConfig)


def test_the_loss_is_what_its_docstring_says(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    from my_fer.losses import MarginLoss

    from ke2nt.models.output import KE2NTOutput

    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    loss = MarginLoss(margin=1.5)(KE2NTOutput(logits, torch.zeros(4, 2), None), labels, None)
    slow = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        other = max(value for k, value in enumerate(row) if k != label)
        slow.append(max(0.0, 1.5 - (row[label] - other)))
    assert loss.item() == pytest.approx(sum(slow) / 4, abs=1e-5)


def test_python_lines_of_the_page(package, monkeypatch):
    """What the page says about Python, between its blocks."""
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.chdir(package)
    import ke2nt
    from ke2nt import TextBank
    from ke2nt.losses import KE2NTLoss

    assert len(ke2nt.load_dataset("my_fer.datasets.Diary", "my-diary", "all")) == 3
    from my_fer.encoders import LetterEncoder
    from my_fer.losses import MarginLoss

    assert TextBank.build("simple", LetterEncoder()).raw.shape == (8, 26)
    assert KE2NTLoss(extra=[(MarginLoss(), 0.5)]) is not None


def test_a_command_in_the_help(package):
    done = run_ke2nt("--help", cwd=package)
    assert (done.returncode, done.stderr) == (0, "")
    assert "count-faces" in done.stdout
    assert "Count the faces of a split." in done.stdout
    done = run_ke2nt("count-faces", "--help", cwd=package)
    assert "Dataset split." in done.stdout


def test_a_group_of_commands(tmp_path):
    install(tmp_path, {"tools": "extra_tools:app"})
    (tmp_path / "extra_tools.py").write_text(
        "import typer\napp = typer.Typer(help='More tools.')\n"
        "@app.command()\ndef one() -> None: print('first')\n"
        "@app.command()\ndef two() -> None: print('second')\n"
    )
    assert "More tools." in run_ke2nt("--help", cwd=tmp_path).stdout
    assert run_ke2nt("tools", "two", cwd=tmp_path).stdout == "second\n"


def test_user_errors_of_a_command_are_one_line(tmp_path):
    install(tmp_path, {"fail": "failing:fail"})
    (tmp_path / "failing.py").write_text(
        "import ke2nt\ndef fail() -> None: raise ke2nt.Ke2ntError('no luck', hint='Try again.')\n"
    )
    done = run_ke2nt("fail", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: no luck. Try again.\n")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("command = 3", "expected a typer.Typer or a function; found int"),
        ("other = 3", "AttributeError"),
    ],
)
def test_a_broken_command_is_named_and_stops_nothing(tmp_path, source, reason):
    install(tmp_path, {"broken": "broken_module:command"})
    (tmp_path / "broken_module.py").write_text(source + "\n")
    done = run_ke2nt("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert " train " in done.stdout
    assert done.stderr.startswith("warning: the command 'broken' of the package stranger cannot be")
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr

    done = run_ke2nt("broken", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the command 'broken' of the package stranger cannot be")
    assert len(done.stderr.splitlines()) == 1
    assert run_ke2nt("prompts", "list", cwd=tmp_path).stderr == ""


def test_a_built_in_name_cannot_be_replaced(tmp_path):
    install(tmp_path, {"prompts": "other_prompts:command"})
    (tmp_path / "other_prompts.py").write_text("raise SystemExit('never imported')\n")
    done = run_ke2nt("--help", cwd=tmp_path)
    assert done.returncode == 0
    words = "warning: the command 'prompts' of the package stranger is ignored"
    assert done.stderr.startswith(words)
    done = run_ke2nt("prompts", "list", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "paper" in done.stdout


def test_a_typo_suggests_commands_of_packages_too(tmp_path):
    install(tmp_path, {"count-faces": "anything:command"})
    done = run_ke2nt("count-face", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such command 'count-face'. Did you mean 'count-faces'?" in done.stderr


def test_packages_are_not_searched_for_built_in_commands():
    code = (
        "import sys\nfrom importlib import metadata\n"
        "original = metadata.entry_points\n"
        "def search(**k): assert k.get('group') != 'ke2nt.commands'; return original(**k)\n"
        "metadata.entry_points = search\n"
        "from ke2nt.cli.main import main\nsys.argv = ['ke2nt', 'prompts', 'list']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def install(folder, commands):
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: stranger\nVersion: 1.0\n")
    write_entry_points(info, commands)


ROWS = re.findall(r"^\| ([\w -]+) \| (.*?) \| (.*?) \| (.*?) \|$", FOR_CONTRIBUTORS, re.M)[1:]


@pytest.mark.parametrize(("part", "file", "lines", "test"), ROWS)
def test_contributor_table_names_existing_files(part, file, lines, test):
    for path in re.findall(r"`([^`]+)`", f"{file} {test}"):
        assert (ROOT / path.replace("NAME.py", "").replace("NAME.yaml", "")).exists(), path

    # each file comes after the names in it
    names = []
    for word in re.findall(r"`([^`]+)`", lines):
        if "/" not in word:
            names.append(word)
            continue
        text = (ROOT / word).read_text(encoding="utf-8")
        assert names, f"{part}: no name in {word}"
        for name in names:
            assert re.search(rf"^(class |def )?{name}\b", text, re.M), f"{name} in {word}"
        names = []


def test_contributor_table_has_the_main_parts():
    parts = {row[0] for row in ROWS}
    assert parts >= {"loss", "dataset", "text encoder", "adaptation part", "command"}
