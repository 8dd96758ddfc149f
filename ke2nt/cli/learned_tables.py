"""Learned prompts as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ke2nt.cli.output import print_line, print_table
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from ke2nt.prompt_learning.learn_prompts import LearnedPrompts
    from ke2nt.prompts.vector_files import LearnedFacts

__all__ = ["show_learned_prompts", "show_nearest_words"]


def show_learned_prompts(result: LearnedPrompts) -> None:
    """Print how the learned set compares with the written one on the validation images."""
    print_line(f"labels: {result.labels}")
    rows = [
        [
            name,
            percent_cell(record.val_uar),
            percent_cell(record.val_accuracy),
            f"{record.val_loss:.3f}",
        ]
        for name, record in (("written", result.written), ("learned", result.learned))
    ]
    print_table(["prompts", "UAR %", "WAR %", "loss #"], rows, title="Validation images")
    epochs = len(result.context.history)
    print_line(f"epoch {result.context.epoch} of {epochs}, which these images chose")


def show_nearest_words(learned: LearnedFacts) -> None:
    """Print the nearest words of the vocabulary to each vector, with their distances."""
    print_line(f"learned for {learned.encoder}, weights {learned.weights[:16]}…")
    several = len(learned.nearest) > 1
    rows = []
    for digest, vectors in learned.nearest.items():
        for number, words in enumerate(vectors, start=1):
            near = ", ".join(f"{word} {distance:.3f}" for word, distance in words.items())
            rows.append([*([digest] if several else []), f"V{number}", near])
    columns = [*(["context"] if several else []), "vector", "nearest words and their distance"]
    print_table(columns, rows)
