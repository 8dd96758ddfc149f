"""The HTML page of a zero-shot matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ke2nt.evaluation.zero_shot_matrix import ZeroShotMatrix
from ke2nt.pages.table_page import PageTable, TablePage, TableSection
from ke2nt.plots.zero_shot_plot import plot_zero_shot_matrix
from ke2nt.runtime.provenance import provenance

__all__ = ["build_zero_shot_matrix_page", "describe_cells"]


def describe_cells(matrix: ZeroShotMatrix) -> list[str]:
    """Return how labels were matched, which images are unreadable, and notes on the metrics."""
    # the same for many cells: every sentence once, with the cells that it is about
    cells: dict[str, list[str]] = {}
    for cell in matrix.cells:
        if cell.result is None:
            continue
        evaluation = cell.result.evaluation
        dropped = sum(evaluation.dropped.values())
        lost = f" ({dropped} images)" if dropped else ""
        sentences = [f"labels: {evaluation.mapping.describe()}{lost}", *cell.notes]
        if evaluation.failed:
            _, reason = evaluation.failed[0]
            count = len(evaluation.failed)
            sentences.append(f"unreadable: {count} images, for example: {reason}")
        for sentence in sentences:
            cells.setdefault(sentence, []).append(str(cell))

    done = len(matrix.cells) - len(matrix.failed)
    return [
        text if len(names) == done else f"{text} [{'; '.join(names)}]"
        for text, names in cells.items()
    ]


def build_zero_shot_matrix_page(
    matrix: ZeroShotMatrix, failed: Sequence[tuple[str, str]], *, command: str
) -> TablePage:
    """Build the contents of a page with heat maps and all metrics.

    Args:
        matrix: The evaluations.
        failed: (what, why), shown at the top.
        command: The command line.
    """
    # the same numbers as plots and as tables
    section = TableSection(
        title="Every model with every prompt set on every dataset",
        draw=partial(plot_zero_shot_matrix, matrix),
        alt="Heat maps of accuracy, mean class recall and calibration error, in the table below.",
        caption="A dash marks an evaluation that failed.",
        tables=[PageTable.from_table(table) for table in matrix.tables()],
        notes=describe_cells(matrix),
    )

    counts = (
        f"Models: {len(matrix.encoders)}, prompt sets: {len(matrix.prompts)}, "
        f"datasets: {len(matrix.targets)}."
    )
    return TablePage(
        title="Zero-shot",
        lead=counts,
        sections=[section],
        failed=failed,
        command=command,
        provenance=provenance(),
    )
