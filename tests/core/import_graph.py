"""Read every import of the package from its source, and the rules from docs/design.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

IMPORT_NAMES = {"scikit-learn": "sklearn"}
# Single files in the same layer as the room that they may import
SAME_LAYER = {("labels", "runtime"), ("resources", "runtime")}


@dataclass(frozen=True)
class Import:
    """One import: importing and imported module, place, and whether it happens at load time."""

    module: str
    target: str
    line: int
    at_load: bool
    path: str


@dataclass(frozen=True)
class Rules:
    """Layer of each room, and the files that may import each heavy library."""

    layers: dict[str, int]
    heavy: dict[str, tuple[str, ...]]


def read_rules(design: str) -> Rules:
    """Read the table of rooms in docs/design.md."""
    layers, heavy = {}, {}
    for row in re.findall(r"^\| (\d+) \| (.+?) \| .+? \|(.*)\|$", design, re.MULTILINE):
        layer, places, libraries = row
        rooms = re.findall(r"`([^`]+)`", places)
        layers.update({room.rstrip("/").removesuffix(".py"): int(layer) for room in rooms})
        for part in filter(None, map(str.strip, libraries.split(";"))):
            names, _, where = part.partition(":")
            allowed = tuple(re.findall(r"`([^`]+)`", where)) or tuple(rooms)
            for name in map(str.strip, names.split(",")):
                heavy[IMPORT_NAMES.get(name, name)] = allowed
    return Rules(
        layers | {"_version": 0, "_old_names": 2, "__main__": 1 + max(layers.values())}, heavy
    )


def read_imports(root: Path) -> list[Import]:
    """Return every import under the package folder `root` that can happen at run time."""
    names = {path: _module_name(root, path) for path in sorted(root.rglob("*.py"))}
    known = set(names.values())
    found = []
    for path, module in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, at_load in _walk(tree, True):
            for target in _targets(node, package, known):
                place = path.relative_to(root).as_posix()
                found.append(Import(module, target, node.lineno, at_load, place))
    return found


def layer_problems(imports: list[Import], rules: Rules) -> list[str]:
    """Return imports that point up, sideways, at the package itself, or out of an `__init__`."""
    problems = []
    for item in imports:
        where = f"{item.path}:{item.line} imports {item.target}"
        source = room_of(item.module, rules.layers)
        target = room_of(item.target, rules.layers)

        # the first rule that an import breaks is reported
        if not item.target.startswith("ke2nt"):
            continue
        if item.path.endswith("__init__.py"):
            if item.at_load and item.target not in ("ke2nt._version", "ke2nt._old_names"):
                problems.append(f"{where}: an __init__ imports nothing")
        elif target == "":
            problems.append(f"{where}: name the module, not the package")
        elif unknown := {source, target} - set(rules.layers):
            problems.append(f"{where}: not in the table of rooms: {', '.join(sorted(unknown))}")
        elif source != target and not _may_import(source, target, rules.layers):
            problems.append(f"{where}: {source} may not import {target}")
    return problems


def heavy_problems(imports: list[Import], rules: Rules) -> list[str]:
    """Return imports of heavy libraries outside their files."""
    return [
        f"{item.path}:{item.line} imports {item.target}, which belongs to {', '.join(places)}"
        for item in imports
        if (places := rules.heavy.get(item.target.split(".")[0])) is not None
        and not any(item.path == place or item.path.startswith(place) for place in places)
    ]


def find_cycle(imports: list[Import]) -> list[str]:
    """Return the files of one import cycle, including late imports, or an empty list."""
    graph: dict[str, set[str]] = {}
    for item in imports:
        if item.target.startswith("ke2nt") and not item.path.endswith("__init__.py"):
            graph.setdefault(item.module, set()).add(item.target)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def room_of(module: str, layers: dict[str, int]) -> str:
    """Return the innermost room that contains a module; a nested room is "outer/inner"."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if (room := "/".join(parts[:length])) in layers:
            return room
    return parts[0] if parts else ""


def _may_import(source: str, target: str, layers: dict[str, int]) -> bool:
    return layers[source] > layers[target] or (source, target) in SAME_LAYER


def _module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _walk(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.stmt | ast.Call, bool]]:
    """Yield imports and importing calls below a node, except under TYPE_CHECKING."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
        yield node, at_load
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in children:
        yield from _walk(child, at_load and not inside)


def _targets(node: ast.stmt | ast.Call, package: str, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parts, *filter(None, [node.module])])
        full = [f"{base}.{alias.name}" for alias in node.names]
        return sorted({name if name in known else base for name in full})

    # importlib.import_module("…") and its relatives
    assert isinstance(node, ast.Call)
    function = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    function = node.func.id if isinstance(node.func, ast.Name) else function
    if function in ("import_module", "import_optional", "__import__") and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return [name.value]
    return []
