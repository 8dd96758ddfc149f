"""Commands in docs/ run here, except those that need data, weights or minutes."""

from __future__ import annotations

import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import torch
import typer
from command_line import run_lines

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli import main as command_line
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.models.ke2nt import KE2NT

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
NEEDS = {
    r"\bDIR\b": "a dataset",
    r"\b(runs|run:runs)/|\bRUN\b": "a run that was trained",
    r"(open_clip|transformers):|unpack banks.zip": "weights of a vision-language model",
    r"^ke2nt (train|quickstart|adapt|finetune|gan pretrain)\b": "minutes",
    r"^ke2nt app\b": "somebody to close it",
    r"^ke2nt (predict|export|bench|explain)\b": "a trained model, pictures or a camera",
}


def blocks(kind):
    """Return (page, title, text) of the fenced blocks of one language."""
    return [
        (page, title.strip(), body)
        for page, text in PAGES.items()
        for title, body in re.findall(rf"^```{kind}([^\n]*)\n(.*?)^```", text, re.M | re.S)
    ]


COMMANDS = [
    (page, line.split(" #")[0].strip())
    for page, _, body in blocks("bash")
    if page != "extend"  # tests/docs/test_extend.py runs that page
    for line in body.replace("\\\n", " ").splitlines()
    if line.startswith("ke2nt ")
]
RUNS = [line for _, line in COMMANDS if not any(re.search(need, line) for need in NEEDS)]


def test_every_page_is_found():
    assert {"design", "extend", "prompts", "train", "zero-shot"} <= PAGES.keys()
    assert len(RUNS) >= 9


def test_commands_without_requirements_run(tmp_path):
    """In the order of the pages: some commands read what earlier ones wrote."""
    for _, name, body in [*blocks("yaml"), *blocks("json")]:
        if name:
            (tmp_path / name).write_text(body, encoding="utf-8")
    run_lines(RUNS, tmp_path)


@pytest.fixture(scope="module")
def root_command():
    app = command_line.app
    command_line.add_commands()
    return typer.main.get_command(app)


@pytest.mark.parametrize(("page", "line"), [c for c in COMMANDS if c[1] not in RUNS])
def test_commands_with_requirements_are_well_formed(page, line, root_command):
    """The commands exist and have these arguments and options; nothing is run."""
    command, words, context = root_command, shlex.split(line)[1:], None
    while hasattr(command, "commands"):
        context = command.make_context(command.name, words, parent=context)
        _, command, words = command.resolve_command(context, _rest(context))
    command.make_context(command.name, words, parent=context)


def _rest(context):
    return [*getattr(context, "_protected_args", []), *context.args]


def _page_module(name, **names):
    module = types.ModuleType(f"docs_{name.replace('-', '_')}")
    module.__dict__.update(names)
    sys.modules[module.__name__] = module
    return module


def _python(page):
    return "\n".join(body for name, _, body in blocks("python") if name == page)


@pytest.fixture
def model():
    torch.manual_seed(0)
    bank = TextBank.build("paper", classes=["neutral", "happiness", "anger"])
    return KE2NT(bank, "mobilenetv3_small_050", 32)


def test_attention_in_python():
    bank = TextBank.build("paper", classes=["neutral", "happiness", "anger"])
    deep = KE2NT(bank, "test_resnet", 32, attention={}).eval()
    page = _page_module("attention", model=deep, images=torch.randn(2, 3, 32, 32))
    exec(compile(_python("attention"), "docs/attention.md", "exec"), page.__dict__)
    assert page.fused.shape == (2, 3)
    assert len(page.by_stage) == len(page.attention_maps) == len(page.weights) == 3


def test_zero_shot_in_python(tmp_path, monkeypatch, model, capsys):
    monkeypatch.chdir(tmp_path)
    bank = TextBank.build("paper")
    KE2NT(bank, "mobilenetv3_small_050", 32).save_pretrained("model")
    page = _page_module("zero-shot", encoder=get_image_encoder("run:model"))
    exec(compile(_python("zero-shot"), "docs/zero-shot.md", "exec"), page.__dict__)
    assert page.result.bank.num_classes == 8
    assert 0 <= page.result.evaluation.report.uar <= 1
    assert "neutral" in capsys.readouterr().out


def test_cross_evaluation_in_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = _page_module("cross-eval")
    exec(compile(_python("cross-eval"), "docs/cross-eval.md", "exec"), page.__dict__)
    assert len(page.matrix.cells) == 2
    assert not page.matrix.failed
    assert set(page.left.cells) == {(k, s) for k in ("gaussian_blur", "jpeg") for s in (1, 5)}
    assert "label sets agree" in capsys.readouterr().out


def test_few_shots_in_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = _page_module("few_shot")
    exec(compile(_python("few_shot"), "docs/few_shot.md", "exec"), page.__dict__)
    assert len(page.result.cells) == 3
    assert "tip-adapter 2" in capsys.readouterr().out


def test_python_of_other_pages_has_a_test():
    tested = {
        "attention",
        "clip",
        "cross-eval",
        "extend",
        "few_shot",
        "predict",
        "prompts",
        "share",
        "trust",
        "zero-shot",
    }
    assert {page for page, _, _ in blocks("python")} <= tested


def test_links_exist():
    """Linked files exist, and so do the headings that links name."""
    pages = {ROOT / "docs" / f"{page}.md": text for page, text in PAGES.items()}
    pages[ROOT / "README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")

    for path, text in pages.items():
        for file, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
            target = path.parent / file if file else path
            assert target.exists(), f"{path.name}: {file}"
            if anchor:
                assert anchor in _anchors(target), f"{path.name}: {file}#{anchor}"


def _anchors(path):
    """Return the anchors of a page's headings, as GitHub builds them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_design_names_files_that_exist():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert len(names) > 50
    # tests are named from the top of the repository
    paths = {name: ROOT if name.startswith("tests/") else ROOT / "ke2nt" for name in names}
    assert [name for name in sorted(names) if not (paths[name] / name).is_file()] == []
