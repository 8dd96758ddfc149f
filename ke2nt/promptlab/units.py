"""The words of prompt sets as units to be judged: sets, templates, words, descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ke2nt.promptlab.pool import PromptPool, template_prompts
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["Kind", "Unit", "units"]

Kind = Literal["all", "set", "template", "word", "description"]


@dataclass(frozen=True, eq=False)
class Unit:
    """Some words to be judged.

    Attributes:
        kind: "all" sets together, a "set", a "template" (in every class), or a "word" or
            "description" of one class.
        prompt_set: Name of the set it is of; "" for all together.
        text: The words.
        class_name: Class of a word or description, else None.
        alone: bool (P,), the ensemble with these words and, where they leave a class without
            prompts, the set's own prompts of it: a word replaces the words of its class only.
        whole: bool (P,), the ensemble that they are a part of.
        without: bool (P,), `whole` less these words; None where a class would be left empty.
    """

    kind: Kind
    prompt_set: str
    text: str
    class_name: str | None
    alone: np.ndarray
    whole: np.ndarray
    without: np.ndarray | None


def units(pool: PromptPool) -> Iterator[Unit]:
    """Everything that `rank` judges."""
    wholes = {prompt_set.name: pool.whole(prompt_set) for prompt_set in pool.sets}
    union = np.any(list(wholes.values()), axis=0)
    several = len(pool.sets) > 1
    if several:
        yield Unit("all", "", "all sets together", None, union, union, None)
    for prompt_set in pool.sets:
        whole = wholes[prompt_set.name]
        rest = [mask for name, mask in wholes.items() if name != prompt_set.name]
        without = np.any(rest, axis=0) if several else None
        yield Unit("set", prompt_set.name, prompt_set.name, None, whole, union, without)
        yield from _templates(pool, prompt_set, whole)
        for name in pool.classes:
            yield from _class_units(pool, prompt_set, whole, name)


def _templates(pool: PromptPool, prompt_set: PromptSet, whole: np.ndarray) -> Iterator[Unit]:
    for template in prompt_set.templates:
        own = pool.mask(template_prompts(prompt_set, template))
        yield _unit(pool, "template", prompt_set.name, template, None, own, whole)


def _class_units(
    pool: PromptPool, prompt_set: PromptSet, whole: np.ndarray, name: str
) -> Iterator[Unit]:
    for word in prompt_set.classes[name] if prompt_set.templates else ():
        own = pool.mask({name: [fill_template(t, word) for t in prompt_set.templates]})
        yield _unit(pool, "word", prompt_set.name, word, name, own, whole)
    for text in prompt_set.descriptions.get(name, ()):
        own = pool.mask({name: [text]})
        yield _unit(pool, "description", prompt_set.name, text, name, own, whole)


def _unit(
    pool: PromptPool,
    kind: Kind,
    prompt_set: str,
    text: str,
    class_name: str | None,
    own: np.ndarray,
    whole: np.ndarray,
) -> Unit:
    touched = np.isin(pool.owners, pool.owners[own])
    without = whole & ~own
    return Unit(
        kind,
        prompt_set,
        text,
        class_name,
        own | (whole & ~touched),
        whole,
        without if pool.covers(without) else None,
    )
