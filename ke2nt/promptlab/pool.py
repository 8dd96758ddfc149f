"""All distinct prompts of some prompt sets; an ensemble of them is a mask over the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ke2nt.labels import check_same_labels
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["PromptPool", "template_prompts"]


def template_prompts(prompt_set: PromptSet, template: str) -> dict[str, tuple[str, ...]]:
    """Fill one template: class → its words in the template."""
    return {
        name: tuple(fill_template(template, word) for word in words)
        for name, words in prompt_set.classes.items()
    }


@dataclass(frozen=True)
class PromptPool:
    """P distinct prompts of K classes; a prompt that two classes share is in it twice.

    Attributes:
        sets: The prompt sets, each with the same classes in the same order.

    Raises:
        LabelError: The classes of two sets differ.
    """

    sets: tuple[PromptSet, ...]

    def __post_init__(self) -> None:
        for prompt_set in self.sets:
            check_same_labels(self.classes, prompt_set.class_names, where=prompt_set.name)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return self.sets[0].class_names

    @cached_property
    def rows(self) -> tuple[tuple[int, str], ...]:
        """Class index and text of each prompt, class by class."""
        # A prompt that several sets have is in the pool once.
        rows: list[tuple[int, str]] = []
        for k, name in enumerate(self.classes):
            for prompt_set in self.sets:
                rows += [(k, text) for text in prompt_set.render(name)]
        return tuple(dict.fromkeys(rows))

    @property
    def texts(self) -> list[str]:
        """P prompts."""
        return [text for _, text in self.rows]

    @property
    def prompt_classes(self) -> np.ndarray:
        """(P,) class index of each prompt."""
        return np.array([k for k, _ in self.rows])

    def mask(self, texts: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Return bool (P,), True for the prompts given as class → texts."""
        chosen = {(k, text) for k, name in enumerate(self.classes) for text in texts.get(name, ())}
        return np.array([row in chosen for row in self.rows])

    def mask_of_set(self, prompt_set: PromptSet) -> np.ndarray:
        """Return bool (P,), the ensemble of every prompt of a set."""
        return self.mask({name: prompt_set.render(name) for name in self.classes})

    def covers_all_classes(self, mask: np.ndarray) -> bool:
        """Whether every class has a prompt in a mask."""
        counts = np.bincount(self.prompt_classes[mask], minlength=len(self.classes))
        return bool((counts > 0).all())

    def select_texts(self, mask: np.ndarray) -> dict[str, tuple[str, ...]]:
        """Return class → the texts in a mask."""
        selected: dict[str, list[str]] = {name: [] for name in self.classes}
        for (k, text), chosen in zip(self.rows, mask, strict=True):
            if chosen:
                selected[self.classes[k]].append(text)
        return {name: tuple(texts) for name, texts in selected.items()}
