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

__all__ = ["Contender", "SearchResult"]


@dataclass(frozen=True, slots=True)
class Contender:
    """An ensemble and its metrics.

    Attributes:
        name: "selected", "single best" or "full ensemble".
        prompts: Class → its prompts.
        selection: Metrics on the split that was searched with; optimistic for what was chosen.
        final: Metrics on the untouched split.
        gain: "selected" minus this one on the untouched split, with paired intervals; None for
            "selected" itself.
        test: McNemar's test of the same pair ("first" is this one, "second" the selected one).
    """

    name: str
    prompts: Mapping[str, tuple[str, ...]]
    selection: Metrics
    final: Metrics
    gain: Metrics | None
    test: McNemar | None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "name": self.name,
            "prompts": {name: list(texts) for name, texts in self.prompts.items()},
            "selection": self.selection.to_dict(),
            "final": self.final.to_dict(),
            "gain": self.gain and self.gain.to_dict(),
            "test": self.test and self.test.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        prompts: The new prompt set.
        contenders: Selected, single best, full ensemble.
        steps: Accepted changes, in order.
        blocks: What each block of a step is: a class, or "templates".
        support: Images of each class in the selection split and in the final split.
        notes: Caveats for the reader.
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
        """Return a plain JSON value."""
        steps = [
            {"block": self.blocks[step.block], "size": step.size, "score": step.score}
            for step in self.steps
        ]
        return {
            **self.settings,
            "classes": list(self.prompts.class_names),
            "support": {split: list(counts) for split, counts in self.support.items()},
            "contenders": [contender.to_dict() for contender in self.contenders],
            "steps": steps,
            "notes": list(self.notes),
            "prompt_set": self.prompts.to_dict(),
        }

    def to_yaml(self) -> str:
        """Return the new prompt set as YAML for `PromptSet.load`, with its origin in comments."""
        facts: dict[str, Any] = dict(self.settings)
        for contender in self.contenders:
            facts[contender.name] = {
                "selection split": _round_rates(contender.selection),
                "final split": _round_rates(contender.final),
            }

        head = "# Found by `ke2nt prompts search`; the numbers are shares of images.\n"
        comments = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
        return head + "\n".join(comments) + "\n" + self.prompts.to_yaml()


def _round_rates(metrics: Metrics) -> dict[str, float]:
    return {"uar": round(metrics.uar, 4), "accuracy": round(metrics.accuracy, 4)}
