"""Several prompt sets at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ke2nt.errors import PromptError
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["load_prompt_sets"]


def load_prompt_sets(prompts: Sequence[PromptSet | str | Path]) -> list[PromptSet]:
    """Load prompt sets by name or file, each with a different name.

    Raises:
        PromptError: There are none, one is not valid, or two have the same name.
    """
    # A single set is accepted, too.
    if isinstance(prompts, str | Path | PromptSet):
        prompts = [prompts]

    sets = [p if isinstance(p, PromptSet) else PromptSet.load(p) for p in prompts]
    if not sets:
        raise PromptError("no prompt set given")

    names = [prompt_set.name for prompt_set in sets]
    if len(set(names)) < len(names):
        raise PromptError("two prompt sets have the same name", found=", ".join(names))
    return sets
