"""The README's commands run, its Python runs, and what it names exists."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest
from command_line import run_ke2nt, run_lines

from ke2nt.config.load import load_config
from ke2nt.prompts.prompt_set import PromptSet

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = re.findall(r"```bash\n(.*?)```", README, flags=re.S)
PHOTO = Path(mpl.get_data_path(), "sample_data", "grace_hopper.jpg")
LAB = README.split("## Prompt experiments in five minutes")[1].split("\n## ")[0]
SMALLER = """
import functools, ke2nt.quickstart as module
module.quickstart = functools.partial(module.quickstart, overrides=(
    "data.options.count=160", "data.options.size=32", "data.options.workers=1",
    "model.backbone=test_resnet", "model.backbone_options={}", "model.stem=standard",
    "model.image_size=32", "optim.epochs=2", "optim.warmup_epochs=0.5",
))
"""


def commands(text: str) -> list[str]:
    """The lines of bash blocks that call the program."""
    blocks = re.findall(r"```bash\n(.*?)```", text.replace("\\\n", " "), flags=re.S)
    lines = (line.split(" #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("ke2nt ")]


OURS = commands(README.replace(LAB, ""))
NEEDS_DATA = [line for line in OURS if "DIR" in line or "runs/" in line]
TAKES_MINUTES = [line for line in OURS if line.startswith("ke2nt gan pretrain")]
RUNS = [line for line in OURS if line not in NEEDS_DATA + TAKES_MINUTES]


def test_the_readme_opens_with_the_two_commands():
    assert BASH[0].strip() == "pip install . && ke2nt quickstart"
    assert BASH[1].strip() == "pip install -e '.[dev]' && python -m pytest -n 2"
    assert README.index(BASH[1]) < README.index("\n## ")


def test_commands_without_data_run(tmp_path):
    assert len(RUNS) >= 7
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    printed = dict(zip(RUNS, run_lines(RUNS, tmp_path), strict=True))
    assert not [line for line, (_, errors) in printed.items() if "Traceback" in errors]
    assert "sadness" in printed["ke2nt predict photo.jpg"][0]


@pytest.mark.parametrize("line", NEEDS_DATA)
def test_commands_that_need_data_are_well_formed(line, tmp_path):
    """They parse, and fail only because the data or the run is not there, in one clear line.

    A cross-evaluation has a line for each model and each dataset that it cannot read.
    """
    done = run_ke2nt(*shlex.split(line)[1:], cwd=tmp_path)
    start, most = ("failed: ", 4) if line.startswith("ke2nt cross-eval") else ("error: ", 1)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2
    assert 1 <= len(lines) <= most
    assert all(each.startswith(start) for each in lines)
    assert "No such option" not in done.stderr
    assert "No such command" not in done.stderr


def test_commands_that_take_minutes_are_those_of_the_pages():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md"))
    assert TAKES_MINUTES
    assert set(TAKES_MINUTES) <= set(commands(pages))


def test_overrides_in_text_are_valid():
    (line,) = re.findall(r"`(optim\.epochs=30 [^`]+)`", README)
    config = load_config("ferplus_resnet18", line.split())
    assert (config.optim.epochs, config.text.prompts) == (30, "facs")
    assert load_config("ferplus_resnet18", ["model.head=linear"]).model.head == "linear"


def test_python_blocks_print_what_they_show(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PHOTO, "photo.jpg")
    text = README.replace(LAB, "")
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.S)
    assert len(examples) == len(re.findall(r"```python\n", text)) == 2

    for code, shown in examples:
        names = {}
        exec(code, names)
        assert capsys.readouterr().out == shown

    assert names["total"].ndim == 0
    assert names["model"].classes == ("neutral", "happiness", "anger")


def test_the_prompt_experiments_run(tmp_path, monkeypatch):
    """From the quickstart on, with a smaller model and fewer and smaller faces."""
    smaller = [line.replace("seed=7", "seed=7 --option count=160 --option size=32")
               for line in commands(LAB)]  # fmt: skip
    assert smaller[0] == "ke2nt quickstart"
    assert [line.split()[2] for line in smaller[1:]] == ["geometry", "rank", "search", "compare"]
    printed = run_lines(smaller, tmp_path, before=SMALLER)
    for phrase, (out, _) in zip(("accuracy", "near", "Recall", "Chosen", "McNemar"), printed,
                                strict=True):  # fmt: skip
        assert phrase in out
    for name in ("text/geometry", "rank/rank", "found/search", "compare/compare"):
        assert (tmp_path / "words" / f"{name}.json").is_file()
    assert len(list((tmp_path / "words").glob("*/*.png"))) >= 7

    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", LAB, flags=re.S)
    assert "seed=7" in block
    names = {}
    exec(block.replace("seed=7", "seed=7, count=160, size=32"), names)
    assert 0 <= names["best"].metrics.uar <= 1
    assert names["change"].names == ("paper", "paper_selected")
    assert PromptSet.load(tmp_path / "better.yaml") == names["found"].prompts


def test_file_map_names_existing_paths():
    table = README.split("## File map")[1].split("\n## ")[0]
    for cell in re.findall(r"^\| (.*?) \|", table, flags=re.M)[2:]:
        for path in re.findall(r"`([^`]+)`", cell):
            assert (ROOT / path).exists(), path
