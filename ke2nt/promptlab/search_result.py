"""The outcome of a search: contenders, steps, and the new prompt set with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ke2nt.promptlab.beam_search import Step
from ke2nt.promptlab.intervals import Metrics
from ke2nt.promptlab.mcnemar import McNemar
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["Contender", "Search"]


@dataclass(frozen=True, slots=True)
class Contender:
    """An ensemble and its metrics.

    Attributes:
        name: "selected", "single best" or "full ensemble".
        prompts: Class → its prompts.
        selection: Figures on the split that was searched with; optimistic for what was chosen.
        final: Figures on the untouched split.
        gain: What "selected" has more than this one on the untouched split, with paired
            intervals; None for itself.
        test: McNemar's test of the same ("first" is this one, "second" the selected one).
    """

    name: str
    prompts: Mapping[str, tuple[str, ...]]
    selection: Metrics
    final: Metrics
    gain: Metrics | None
    test: McNemar | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "name": self.name,
            "prompts": {name: list(texts) for name, texts in self.prompts.items()},
            "selection": self.selection.to_dict(),
            "final": self.final.to_dict(),
            "gain": self.gain and self.gain.to_dict(),
            "test": self.test and self.test.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Search:
    """The outcome of a search.

    Attributes:
        prompts: The new prompt set.
        contenders: Selected, single best, full ensemble.
        steps: Accepted changes, in order.
        blocks: What each block of a step is: a class, or "templates".
        support: Images of each class in the selection split and in the final split.
        notes: What a reader must know.
        settings: What the outcome depends on, plain JSON.
    """

    prompts: PromptSet
    contenders: tuple[Contender, ...]
    steps: tuple[Step, ...]
    blocks: tuple[str, ...]
    support: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            **self.settings,
            "classes": list(self.prompts.class_names),
            "support": {split: list(counts) for split, counts in self.support.items()},
            "contenders": [contender.to_dict() for contender in self.contenders],
            "steps": [
                {"block": self.blocks[s.block], "size": s.size, "score": s.score}
                for s in self.steps
            ],
            "notes": list(self.notes),
            "prompt_set": self.prompts.to_dict(),
        }

    def to_yaml(self) -> str:
        """The new prompt set, under a comment that says how it was found; `load` reads it back."""
        facts: dict[str, Any] = dict(self.settings)
        for contender in self.contenders:
            facts[contender.name] = {
                split: {"uar": round(metrics.uar, 4), "accuracy": round(metrics.accuracy, 4)}
                for split, metrics in (
                    ("selection split", contender.selection),
                    ("final split", contender.final),
                )
            }
        lines = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
        head = "# Found by `ke2nt prompts search`; the metrics are shares of images.\n"
        return head + "\n".join(lines) + "\n" + self.prompts.to_yaml()
