"""Tables of the benchmarks as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

__all__ = ["format_mean", "format_table"]


def format_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table; the text ends with a newline."""
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join(lines) + "\n"


def format_mean(values: Sequence[float], digits: int) -> str:
    """Format mean ± standard deviation of shares in percent; a single value has no deviation."""
    percents = [100 * value for value in values]
    deviation = f" ± {statistics.stdev(percents):.{digits}f}" if len(percents) > 1 else ""
    return f"{statistics.mean(percents):.{digits}f}{deviation}"
