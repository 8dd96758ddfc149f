"""What the prompt experiments share: embedded images, prompt sets, settings and output files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_encoder_name
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    DatasetOptions,
    EmbeddingOptions,
    EncoderOptions,
    LabelOptions,
    StatisticsOptions,
)
from ke2nt.cli.output import print_json, print_unreadable, print_written
from ke2nt.cli.paper_options import PaperOptions, print_paper_files

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.datasets.base import Reader
    from ke2nt.evaluation.embed_split import ImageEmbeddings
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.tables.table import Table

__all__ = [
    "Findings",
    "OutFolderOption",
    "PromptExperiment",
    "PromptSetsOption",
    "load_prompt_sets",
    "split_names",
]

PromptSetsOption = Annotated[
    list[str],
    typer.Option(
        "--prompts",
        metavar="SET[,SET...]",
        help="Shipped prompt sets or YAML files; may be repeated.",
    ),
]
OutFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out", callback=check_writable, metavar="DIR", help="Folder for JSON and plots."
    ),
]


@dataclass(frozen=True)
class PromptExperiment:
    """Prompts on embedded images: the options of one command."""

    encoder: EncoderOptions
    data: DatasetOptions
    labels: LabelOptions
    compute: EmbeddingOptions
    statistics: StatisticsOptions

    @cached_property
    def reader(self) -> Reader:
        """The reader of the dataset, opened once: it prints its warnings when it is opened."""
        return self.data.open_reader()

    def check_names(self, prompts: Sequence[str], *splits: str) -> None:
        """Check all names before torch is imported.

        Args:
            prompts: Prompt sets or their files.
            splits: Further splits of the dataset.

        Raises:
            Ke2ntError: There is no such prompt set, encoder, dataset or split.
        """
        from ke2nt.prompts.load_sets import load_prompt_sets

        load_prompt_sets(prompts)
        check_encoder_name(self.encoder.encoder)
        for split in (self.data.split, *splits):
            self.reader.check_split(split)

    def embed(self, *splits: str, quiet: bool) -> list[ImageEmbeddings]:
        """Embed the images of some splits, or take the embeddings from the cache."""
        loaded = [self.reader.load(split).spread(self.data.limit) for split in splits]
        return self.embed_loaded(*loaded, quiet=quiet)

    def embed_loaded(self, *splits: FaceSplit, quiet: bool) -> list[ImageEmbeddings]:
        """Embed the images of some splits that are loaded."""
        from ke2nt.evaluation.embed_split import embed_split

        arguments = self.compute.arguments()
        model = self.encoder.load()

        # the model is loaded once for all splits, and not at all if all are cached
        all_embeddings = []
        for split in splits:
            embeddings = embed_split(
                model, split, cache_dir=self.encoder.cache_dir, quiet=quiet, **arguments
            )
            print_unreadable(embeddings.failed)
            all_embeddings.append(embeddings)
        return all_embeddings

    def run(self, function: Callable[..., Any], *prompts: Any, quiet: bool) -> tuple[Any, Any]:
        """Call a function of `ke2nt.promptlab` with the embedded split.

        Returns:
            Its result, and the result with its settings as plain JSON.
        """
        arguments = self.arguments()
        (embeddings,) = self.embed(self.data.split, quiet=quiet)
        result = function(embeddings, *prompts, quiet=quiet, **arguments)

        # settings go into the document, so that it can be reproduced
        facts = self.facts(embeddings, split=self.data.split, **self.statistics.arguments())
        return result, {**facts, **result.to_dict()}

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that the functions of `ke2nt.promptlab` share."""
        return {
            **self.labels.arguments(),
            **self.statistics.arguments(),
            "cache_dir": self.encoder.cache_dir,
        }

    def facts(self, embeddings: ImageEmbeddings, **settings: Any) -> dict[str, Any]:
        """Return what the metrics depend on, as plain JSON."""
        # `encoder` is what was typed; `encoder_id` identifies its weights
        return {
            "encoder": self.encoder.encoder,
            "encoder_id": embeddings.encoder,
            "text_encoder": embeddings.text_encoder,
            "dataset": self.data.dataset,
            "options": self.data.reader_options(),
            "limit": self.data.limit,
            "failed": len(embeddings.failed),
            **settings,
        }


def split_names(prompts: list[str]) -> list[str]:
    """Split the values of --prompts; a file's name may have commas."""
    names: list[str] = []
    for text in prompts:
        names += [text] if Path(text).is_file() else text.split(",")
    return [name.strip() for name in names if name.strip()]


def load_prompt_sets(prompts: list[str]) -> list[PromptSet]:
    """Load the prompt sets of --prompts."""
    from ke2nt.prompts.load_sets import load_prompt_sets as load_by_name

    return load_by_name(split_names(prompts))


@dataclass(frozen=True)
class Findings:
    """Results of an experiment in every form in which they are reported.

    Attributes:
        name: Name of the JSON file.
        document: The results as plain JSON.
        show: Prints them.
        tables: Builds their tables.
        plot: Draws their plots; takes `format`.
    """

    name: str
    document: Mapping[str, Any]
    show: Callable[[], None]
    tables: Callable[[], Sequence[Table]]
    plot: Callable[..., Mapping[str, bytes]]

    def report(
        self, out: Path | None, paper: PaperOptions, *, json: bool, also: Sequence[str] = ()
    ) -> None:
        """Write and print the results.

        Args:
            out: Folder for JSON and plots, or None.
            paper: Tables and figures to write.
            json: Print only JSON.
            also: Files that were already written to `out`.
        """
        written = [*also, *self._write(out)]
        files = paper.write(self.tables, self.plot)
        if json:
            print_json(self.document)
            return

        self.show()
        if out is not None:
            print_written(out, *written)
        print_paper_files(files)

    def _write(self, out: Path | None) -> list[str]:
        """Write the document and the plots; return their names."""
        from ke2nt.runtime.atomic import write_bytes, write_json

        if out is None:
            return []
        write_json(out / self.name, self.document)
        plots = self.plot()
        for file, content in plots.items():
            write_bytes(out / file, content)
        return [self.name, *plots]
