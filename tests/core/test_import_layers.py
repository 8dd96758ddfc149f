"""Imports flow one way, and each heavy library has its files (docs/design.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_graph import (
    find_cycle,
    heavy_problems,
    layer_problems,
    read_imports,
    read_rules,
)

import ke2nt

PACKAGE = Path(ke2nt.__file__).parent
RULES = read_rules((PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def imports():
    return read_imports(PACKAGE)


def test_table_of_rooms_is_complete():
    assert RULES.layers["errors"] == 0
    assert RULES.layers["runtime"] == 1
    assert RULES.layers["vlm"] == RULES.layers["drawn"] == 4
    assert RULES.layers["generation/networks"] < RULES.layers["training"]
    assert RULES.layers["training"] < RULES.layers["generation"]
    assert max(RULES.layers, key=RULES.layers.__getitem__) == "__main__"
    assert RULES.heavy["timm"] == ("models/timm_models.py",)
    assert RULES.heavy["PIL"][:3] == ("data/images.py", "drawn/", "predict/annotate.py")
    assert RULES.heavy["pydantic"] == ("config/", "prompts/")
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(RULES.layers)


def test_imports_point_down(imports):
    assert layer_problems(imports, RULES) == []


def test_no_cycles(imports):
    assert find_cycle(imports) == []


def test_heavy_libraries_stay_in_their_files(imports):
    assert heavy_problems(imports, RULES) == []


def tree(root, **files):
    """Write a small package named ke2nt; `a__b` in a key means a/b.py."""
    package = root / "ke2nt"
    for name, source in {"__init__": "", **files}.items():
        path = package / (name.replace("___", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    return read_imports(package)


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"labels": "from ke2nt.data.x import y", "data___x": ""}, "labels may not import data"),
        ({"vlm___x": "import ke2nt.drawn.x", "drawn___x": ""}, "vlm may not import drawn"),
        ({"runtime___x": "def f():\n    from ke2nt.cli import y"}, "runtime may not import cli"),
        ({"models___x": "from ke2nt.losses.y import L"}, "models may not import losses"),
        (
            {
                "generation___networks___x": "import ke2nt.generation.train_jointly",
                "generation___train_jointly": "",
            },
            "generation/networks may not import generation",
        ),
        ({"data___x": "from ..training import y"}, "data may not import training"),
        ({"data___x": "if a:\n    pass\nelse:\n    import ke2nt.cli.x"}, "data may not import cli"),
        ({"data___x": "from ke2nt import KE2NT"}, "name the module"),
        ({"gui___x": "import ke2nt.errors"}, "not in the table of rooms: gui"),
        ({"data___x": "import importlib\nimportlib.import_module('ke2nt.cli')"}, "may not"),
        ({"data_____init__": "import ke2nt.errors"}, "an __init__"),
    ],
)
def test_wrong_imports_are_found(tmp_path, files, word):
    problems = layer_problems(tree(tmp_path, **files), RULES)
    assert len(problems) == 1
    assert word in problems[0]


def test_valid_imports_are_accepted(tmp_path):
    files = {
        "data___x": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ke2nt.cli.x",
        "losses___x": "from ke2nt.models.output import KE2NTOutput",
        "models___output": "from ke2nt.errors import ModelError\nimport torch",
        "cli___x": "from ke2nt.cli import y\nfrom . import y\nimport typer",
        "cli___y": "import ke2nt.vlm.x",
        "vlm___x": "",
        "generation___joint": "import ke2nt.generation.networks.x",
        "generation___networks___x": "",
    }
    imports = tree(tmp_path, **files)
    assert layer_problems(imports, RULES) == []
    assert find_cycle(imports) == []
    assert heavy_problems(imports, RULES) == []


def test_a_cycle_is_found(tmp_path):
    files = {"data___a": "from ke2nt.data import b", "data___b": "from ke2nt.data.c import x"}
    assert find_cycle(tree(tmp_path / "none", **files, data___c="import torch")) == []
    for name, source in {"now": "", "late": "def f():\n    "}.items():
        graph = tree(tmp_path / name, **files, data___c=f"{source}import ke2nt.data.a")
        assert set(find_cycle(graph)) == {"ke2nt.data.a", "ke2nt.data.b", "ke2nt.data.c"}


@pytest.mark.parametrize(
    "source",
    [
        "import timm",
        "def f():\n    from timm.models import create_model",
        "from ke2nt.runtime.optional import import_optional\nimport_optional('timm.x', extra='a')",
        "class A:\n    try:\n        import timm\n    except ImportError:\n        pass",
    ],
)
def test_misplaced_heavy_imports_are_found(tmp_path, source):
    assert len(heavy_problems(tree(tmp_path / "a", models___x=source), RULES)) == 1
    assert heavy_problems(tree(tmp_path / "b", models___timm_models=source), RULES) == []
