"""All distinct prompts of some prompt sets, so that every ensemble of them is a mask."""

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
    """Class → its words in one template."""
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
        found = [
            (k, text)
            for k, name in enumerate(self.classes)
            for prompt_set in self.sets
            for text in prompt_set.render(name)
        ]
        return tuple(dict.fromkeys(found))

    @property
    def texts(self) -> list[str]:
        """P prompts."""
        return [text for _, text in self.rows]

    @property
    def owners(self) -> np.ndarray:
        """(P,) class index of each prompt."""
        return np.array([k for k, _ in self.rows])

    def mask(self, chosen: Mapping[str, Sequence[str]]) -> np.ndarray:
        """bool (P,), True for the prompts given as class → texts."""
        wanted = {(k, t) for k, name in enumerate(self.classes) for t in chosen.get(name, ())}
        return np.array([row in wanted for row in self.rows])

    def whole(self, prompt_set: PromptSet) -> np.ndarray:
        """bool (P,), the ensemble of every prompt of a set."""
        return self.mask({name: prompt_set.render(name) for name in self.classes})

    def covers(self, mask: np.ndarray) -> bool:
        """Whether a mask leaves every class a prompt."""
        return bool((np.bincount(self.owners[mask], minlength=len(self.classes)) > 0).all())

    def chosen(self, mask: np.ndarray) -> dict[str, tuple[str, ...]]:
        """Class → the texts that a mask chooses."""
        return {
            name: tuple(t for (k, t), on in zip(self.rows, mask, strict=True) if on and k == index)
            for index, name in enumerate(self.classes)
        }
