"""`__all__` is correct everywhere, and the public names load only on first use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import read_rules

import ke2nt

PACKAGE = Path(ke2nt.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if not p.name.startswith("_"))
HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    *read_rules((PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")).heavy,
} - {"typer", "rich"}


def loaded(code):
    """Return top-level packages in sys.modules after running code in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_import_is_light():
    assert loaded("import ke2nt; dir(ke2nt); ke2nt.__version__; ke2nt.Ke2ntError") & HEAVY == set()


def test_help_is_light():
    code = (
        "import runpy\nsys.argv = ['ke2nt', '--help']\n"
        "try:\n    runpy.run_module('ke2nt', run_name='__main__')\nexcept SystemExit as stop:\n"
        "    assert not stop.code"
    )
    assert loaded(code) & HEAVY == set()


def test_public_names():
    assert sorted([*ke2nt._PUBLIC, "__version__"]) == ke2nt.__all__
    assert set(ke2nt.__all__) <= set(dir(ke2nt))


@pytest.mark.parametrize("name", sorted(ke2nt._PUBLIC))
def test_public_names_load(name):
    assert getattr(ke2nt, name).__name__ == name
    assert getattr(ke2nt, name).__module__ == ke2nt._PUBLIC[name]


def test_no_submodule_has_the_name_of_a_public_function():
    for name in ke2nt._PUBLIC:
        assert not (PACKAGE / name).exists()
        assert not (PACKAGE / f"{name}.py").exists()


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == ke2nt._PUBLIC


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'ke2nt' has no attribute 'KE2NTT'"):
        ke2nt.KE2NTT  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_all_lists_what_a_module_defines(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}

    if path.parent.name == "cli":  # commands are reached through the app
        return
    assert "__all__" in assigned, "no __all__"

    # every public name is listed, and every listed name exists
    listed = ast.literal_eval(assigned["__all__"])
    assert len(set(listed)) == len(listed)
    assert set(listed) <= defined | imported | set(assigned), "names that do not exist"
    public = {name for name in defined if not name.startswith("_")}
    assert public <= set(listed), "public names that are not listed"
