"""`ke2nt zero-shot` with several models, prompt sets or datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.evaluation_tables import encoder_notes
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.outcome import Outcome, group_failures
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_table,
    print_written,
    silent,
)
from ke2nt.cli.paper_options import PaperOptions, print_paper_files

if TYPE_CHECKING:
    from ke2nt.evaluation.targets import Target
    from ke2nt.evaluation.zero_shot_matrix import ZeroShotMatrix
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.base import ImageEncoder

__all__ = ["evaluate_matrix"]


def evaluate_matrix(
    load: Callable[[str], ImageEncoder],
    encoders: Sequence[str],
    prompts: Sequence[PromptSet],
    targets: Sequence[Target],
    options: dict[str, Any],
    out: Path | None,
    paper: PaperOptions,
    output: OutputOptions,
) -> Outcome:
    """Evaluate every model with every prompt set on every dataset, print and write the results."""
    from ke2nt.evaluation.zero_shot_matrix import zero_shot_matrix
    from ke2nt.pages.render import render_tables
    from ke2nt.pages.zero_shot_matrix_page import build_zero_shot_matrix_page
    from ke2nt.plots.zero_shot_plot import plot_zero_shot_matrix
    from ke2nt.runtime.atomic import write_json, write_text

    writes = out is not None and not silent()

    def save(matrix: ZeroShotMatrix) -> None:
        if out is not None and writes:
            write_json(out / "zero_shot.json", matrix.to_dict())

    # results are saved after each cell, so that an interrupted matrix is not lost
    matrix = zero_shot_matrix(
        encoders, prompts, targets, load=load, notes=encoder_notes, on_cell=save, **options
    )
    failed = [(str(cell), str(cell.error)) for cell in matrix.failed]
    outcome = Outcome(len(matrix.cells) - len(failed), group_failures(failed))
    if out is not None and writes:
        page = build_zero_shot_matrix_page(matrix, outcome.failures, command=command_line())
        write_text(out / "report.html", render_tables(page))
    files = paper.write(
        matrix.tables,
        lambda format: {f"zero_shot.{format}": plot_zero_shot_matrix(matrix, format=format)},
    )
    if output.json:
        print_json(matrix.to_dict())
        return outcome

    _show(matrix)
    if out is not None:
        print_written(out, "zero_shot.json", "report.html")
    print_paper_files(files)
    return outcome


def _show(matrix: ZeroShotMatrix) -> None:
    """Print a row for each cell, and how labels were matched."""
    from ke2nt.pages.zero_shot_matrix_page import describe_cells
    from ke2nt.tables.printed import format_rows

    # intervals would not fit a terminal; files and page have them
    table = matrix.tables()[0].without_intervals()
    columns = [table.columns[k] for k in table.printed]
    print_table(
        [f"{each.title} #" if each.is_number else each.title for each in columns],
        format_rows(table),
    )
    for note in describe_cells(matrix):
        print_line(note)
