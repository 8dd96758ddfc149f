"""Options of the prompt lab's experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ke2nt.labels import LabelPolicy

if TYPE_CHECKING:
    from ke2nt.vlm.base import TextEncoder

__all__ = ["LabOptions", "Objective", "SearchOptions", "Share"]

Objective = Literal["uar", "accuracy"]
Share = Literal["nothing", "templates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """Options of every experiment.

    Attributes:
        text_encoder: Encoder of the prompts; the one that belongs to the images unless given.
        policy: Classes that only one side has: "strict" refuses them; "drop" scores the classes
            that the data and all sets share; "keep" keeps the sets' other classes as answers.
        merge: Class of the data → class of the sets to map it to.
        cache_dir: Cache folder of the prompt embeddings.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples, and of a search.
        quiet: No progress on stderr.
    """

    text_encoder: TextEncoder | str | None = None
    policy: LabelPolicy = "strict"
    merge: Mapping[str, str] | None = None
    cache_dir: str | Path | None = None
    bootstrap: int = 1000
    seed: int = 0
    quiet: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(LabOptions):
    """Options of a search; see `LabOptions` for the others.

    Attributes:
        share: "nothing" chooses an ensemble for each class from all prompts of the sets;
            "templates" chooses templates for all classes, filled with all words of the sets.
        beam: Partial ensembles kept in each round; 1 is greedy.
        max_size: Maximum prompts of a class, or maximum templates.
        objective: Metric to maximize, "uar" or "accuracy".
    """

    share: Share = "nothing"
    beam: int = 1
    max_size: int = 8
    objective: Objective = "uar"
