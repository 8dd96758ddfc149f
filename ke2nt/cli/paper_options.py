"""Options of commands that write their results for papers: tables and figures as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.output import print_line, silent
from ke2nt.errors import ConfigError
from ke2nt.runtime.atomic import check_folder, write_bytes

if TYPE_CHECKING:
    from ke2nt.tables.table import Table

__all__ = ["FigureFormat", "PaperOptions", "print_paper_files"]


class FigureFormat(StrEnum):
    pdf = "pdf"
    svg = "svg"
    png = "png"


def _check_tables(files: list[Path] | None) -> list[Path] | None:
    from ke2nt.tables.write import check_table_file

    for file in files or ():
        check_table_file(file)
    return files


def _check_figures(folder: Path | None) -> Path | None:
    if folder is not None:
        check_folder(folder, option="--figures")
    return folder


@dataclass(frozen=True)
class PaperOptions:
    """Tables and figures as files; their names are checked before any work."""

    table: Annotated[
        list[Path] | None,
        typer.Option(
            "--table",
            callback=_check_tables,
            metavar="FILE",
            help="Write the results as a table: .csv, .tex (LaTeX) or .md; may be repeated.",
        ),
    ] = None
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", callback=_check_figures, metavar="DIR", help="Folder for figures as files."
        ),
    ] = None
    figure_format: Annotated[
        FigureFormat | None,
        typer.Option("--figure-format", help="Format of the figures; pdf if not given."),
    ] = None

    def __post_init__(self) -> None:
        """Check combinations.

        Raises:
            ConfigError: A format without figures.
        """
        if self.figure_format is not None and self.figures is None:
            raise ConfigError("--figure-format needs --figures DIR")

    def write(
        self,
        tables: Callable[[], Sequence[Table]],
        draw: Callable[..., Mapping[str, bytes]],
    ) -> list[Path]:
        """Write what was requested.

        Args:
            tables: Builds the main table and further ones.
            draw: Draws the figures: file name → content; takes `format`.

        Returns:
            The files that were written.
        """
        from ke2nt.tables.write import write_tables

        # only the first process of a launcher writes
        written: list[Path] = []
        if silent():
            return written
        built = tables() if self.table else ()
        for file in self.table or ():
            written += write_tables(file, built)

        if self.figures is not None:
            format = self.figure_format or FigureFormat.pdf
            for name, content in draw(format=format.value).items():
                write_bytes(self.figures / name, content)
                written.append(self.figures / name)
        return written


def print_paper_files(files: Sequence[Path]) -> None:
    """Print which files were written, if any."""
    if files:
        print_line(f"written: {', '.join(map(str, files))}")
