"""`ke2nt prompts`: list, show and check prompt sets, and the experiments with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.option_values import read_names
from ke2nt.cli.options import JsonFlag
from ke2nt.cli.output import print_json, print_line, print_table
from ke2nt.cli.prompts_compare import compare
from ke2nt.cli.prompts_geometry import geometry
from ke2nt.cli.prompts_import import import_
from ke2nt.cli.prompts_learn import learn
from ke2nt.cli.prompts_rank import rank
from ke2nt.cli.prompts_search import search

if TYPE_CHECKING:
    from ke2nt.prompts.check import PromptCheck
    from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["app"]

app = typer.Typer(
    help="Show, check, rank, search and compare prompt sets, the sentences that describe each "
    "class.",
    no_args_is_help=True,
)


@app.command("list")
def list_command(json: JsonFlag = False) -> None:
    """List the prompt sets of the package."""
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.resources import list_resources

    # shipped sets are always valid, so that all can be loaded
    sets = {path: PromptSet.load(path) for path in list_resources("prompts").values()}
    if json:
        print_json(
            [
                {
                    "name": prompts.name,
                    "description": prompts.description,
                    "source": prompts.source,
                    "classes": list(prompts.classes),
                    "templates": len(prompts.templates),
                    "prompts": _count(prompts),
                    "path": str(path),
                }
                for path, prompts in sets.items()
            ]
        )
        return
    print_table(
        ["name", "n classes", "n templates", "n prompts", "description"],
        [
            [each.name, len(each.classes), len(each.templates), _count(each), each.description]
            for each in sets.values()
        ],
    )


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped set, or a YAML file.")],
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, separated by commas, in this order.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show every prompt of a set as the text encoder reads it."""
    from ke2nt.prompts.prompt_set import PromptSet

    prompts = PromptSet.load(name)
    chosen = read_names(classes)
    if chosen is not None:
        prompts = prompts.with_classes(chosen)
    rendered = {each: list(prompts.render(each)) for each in prompts.classes}
    anchor = list(prompts.render_anchor())
    if json:
        print_json({**prompts.to_dict(), "rendered": rendered, "rendered_anchor": anchor})
        return

    # the anchor is shown apart unless it is one of the classes
    print_line(f"{prompts.name}: {prompts.description}".rstrip(": "))
    if prompts.source:
        print_line(f"source: {prompts.source}")
    rows = [[each, text] for each, texts in rendered.items() for text in texts]
    print_table(["class", "prompt"], rows)
    if anchor == rendered.get(str(prompts.anchor)):
        print_line(f"neutral anchor: the prompts of {prompts.anchor!r}")
    else:
        print_table(["neutral anchor"], [[text] for text in anchor])
    if prompts.learned is not None:
        from ke2nt.cli.learned_tables import show_nearest_words

        show_nearest_words(prompts.learned)


@app.command("check")
def check_command(
    targets: Annotated[
        list[str], typer.Argument(metavar="FILE_OR_NAME...", help="Files or shipped names.")
    ],
    json: JsonFlag = False,
) -> None:
    """Check prompt sets and name every problem; the exit code is 2 if any is not valid."""
    from ke2nt.errors import PromptError
    from ke2nt.prompts.check import check_prompts

    # every file is checked before the command fails, so that all problems are shown
    checks = [check_prompts(target) for target in targets]
    invalid = [check.target for check in checks if check.problems]
    if json:
        print_json(
            [
                {
                    "target": check.target,
                    "valid": not check.problems,
                    "problems": list(check.problems),
                    "warnings": list(check.warnings),
                }
                for check in checks
            ]
        )
    else:
        _show_checks(checks)
    if invalid:
        raise PromptError(f"not valid: {', '.join(invalid)}")


def _show_checks(checks: Sequence[PromptCheck]) -> None:
    rows = []
    for check in checks:
        rows += [[check.target, "problem", text] for text in check.problems]
        rows += [[check.target, "warning", text] for text in check.warnings]
        if check.prompts is not None:
            summary = f"{len(check.prompts.classes)} classes, {_count(check.prompts)} prompts"
            rows.append([check.target, "valid", summary])
    print_table(["set", "result", "detail"], rows)


def _count(prompts: PromptSet) -> int:
    """Return how many prompts a set has."""
    return sum(len(prompts.render(name)) for name in prompts.classes)


app.command("rank")(rank)
app.command("search")(search)
app.command("learn")(learn)
app.command("import")(import_)
app.command("compare")(compare)
app.command("geometry")(geometry)
