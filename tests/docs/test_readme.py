"""The README's commands run, its Python runs, and what it names exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ke2nt.config.load import load_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = re.findall(r"```bash\n(.*?)```", README, flags=re.S)
COMMANDS = [
    line.split("#")[0].strip() for block in BASH for line in block.splitlines() if line.strip()
]
OURS = [line for line in COMMANDS if line.startswith("ke2nt ")]
NEEDS_DATA = [line for line in OURS if "DIR" in line or "runs/" in line]
RUNS = [line for line in OURS if line not in NEEDS_DATA]


def ke2nt(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line)[1:]
    return subprocess.run(
        [sys.executable, "-m", "ke2nt", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_readme_opens_with_the_two_commands():
    assert BASH[0].strip() == "pip install . && ke2nt quickstart"
    assert BASH[1].strip() == "pip install -e '.[dev]' && python -m pytest -n 2"
    assert README.index(BASH[1]) < README.index("\n## ")


def test_commands_without_data_run(tmp_path):
    assert len(RUNS) >= 6
    for line in RUNS:
        done = ke2nt(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", NEEDS_DATA)
def test_commands_that_need_data_are_well_formed(line, tmp_path):
    """They parse, and fail only because the data or the run is not there, in one clear line."""
    done = ke2nt(line, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "No such option" not in done.stderr
    assert "No such command" not in done.stderr


def test_the_overrides_that_it_names_are_valid():
    (line,) = re.findall(r"`(optim\.epochs=30 [^`]+)`", README)
    config = load_config("ferplus_resnet18", line.split())
    assert (config.optim.epochs, config.text.prompts) == (30, "facs")
    assert load_config("ferplus_resnet18", ["model.head=linear"]).model.head == "linear"


def test_its_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    names = {"images": torch.randn(4, 3, 64, 64), "labels": torch.tensor([0, 1, 2, 1])}
    exec(block, names)
    assert names["output"].logits.shape == (4, 3)
    assert names["total"].ndim == 0
    assert set(names["parts"]) == {"similarity", "transformation", "self_contrast"}
    assert names["model"].classes == ("neutral", "happiness", "anger")


def test_the_file_map_names_what_exists():
    table = README.split("## File map")[1].split("\n## ")[0]
    for cell in re.findall(r"^\| (.*?) \|", table, flags=re.M)[2:]:
        for path in re.findall(r"`([^`]+)`", cell):
            assert (ROOT / path).exists(), path
