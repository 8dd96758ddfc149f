"""The parts of prompt sets that a ranking judges: sets, templates, words, descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ke2nt.promptlab.pool import PromptPool, template_prompts
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["Kind", "Unit", "generate_units"]

Kind = Literal["all", "set", "template", "word", "description"]


@dataclass(frozen=True, eq=False)
class Unit:
    """A part of a prompt set to be judged.

    Attributes:
        kind: "all" sets together, a "set", a "template" (in every class), or a "word" or
            "description" of one class.
        prompt_set: Name of its set; "" for all sets together.
        text: The words.
        class_name: Class of a word or description, else None.
        alone: bool (P,), the ensemble with these words. A class that they leave without prompts
            keeps the prompts of the set: a word replaces the words of its class only.
        whole: bool (P,), the ensemble that the words are part of.
        without: bool (P,), `whole` without these words; None if a class would be left empty.
    """

    kind: Kind
    prompt_set: str
    text: str
    class_name: str | None
    alone: np.ndarray
    whole: np.ndarray
    without: np.ndarray | None


def generate_units(pool: PromptPool) -> Iterator[Unit]:
    """Yield everything that `rank` judges."""
    whole_sets = {prompt_set.name: pool.mask_of_set(prompt_set) for prompt_set in pool.sets}
    union = np.any(list(whole_sets.values()), axis=0)
    several = len(pool.sets) > 1
    if several:
        yield Unit("all", "", "all sets together", None, union, union, None)

    for prompt_set in pool.sets:
        # A set is judged within all sets; its parts are judged within the set.
        whole = whole_sets[prompt_set.name]
        others = [mask for name, mask in whole_sets.items() if name != prompt_set.name]
        without = np.any(others, axis=0) if several else None
        yield Unit("set", prompt_set.name, prompt_set.name, None, whole, union, without)

        builder = _UnitBuilder(pool, prompt_set, whole)
        yield from builder.generate_templates()
        for name in pool.classes:
            yield from builder.generate_class_units(name)


@dataclass(frozen=True, eq=False)
class _UnitBuilder:
    """Builds the units of one set, whose prompts are `whole`, bool (P,)."""

    pool: PromptPool
    prompt_set: PromptSet
    whole: np.ndarray

    def generate_templates(self) -> Iterator[Unit]:
        for template in self.prompt_set.templates:
            mask = self.pool.mask(template_prompts(self.prompt_set, template))
            yield self._build("template", template, None, mask)

    def generate_class_units(self, name: str) -> Iterator[Unit]:
        """Words and descriptions of a class; words count only if there are templates."""
        templates = self.prompt_set.templates
        for word in self.prompt_set.classes[name] if templates else ():
            filled = [fill_template(template, word) for template in templates]
            yield self._build("word", word, name, self.pool.mask({name: filled}))

        for text in self.prompt_set.descriptions.get(name, ()):
            yield self._build("description", text, name, self.pool.mask({name: [text]}))

    def _build(self, kind: Kind, text: str, class_name: str | None, mask: np.ndarray) -> Unit:
        """Build the unit whose prompts are `mask`, bool (P,)."""
        # Classes that the unit has prompts of; the other classes keep those of the whole set.
        prompt_classes = self.pool.prompt_classes
        replaced = np.isin(prompt_classes, prompt_classes[mask])
        without = self.whole & ~mask

        return Unit(
            kind=kind,
            prompt_set=self.prompt_set.name,
            text=text,
            class_name=class_name,
            alone=mask | (self.whole & ~replaced),
            whole=self.whole,
            without=without if self.pool.covers_all_classes(without) else None,
        )
