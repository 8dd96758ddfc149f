"""What a search chooses from, and the prompt set that its choice becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ke2nt.errors import PromptError
from ke2nt.labels import LabelPolicy
from ke2nt.promptlab.pool import PromptPool, template_prompts
from ke2nt.promptlab.workbench import common_classes
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["Share", "candidate_blocks", "cross_sets", "new_set", "starting_points"]

Share = Literal["nothing", "templates"]


def candidate_blocks(pool: PromptPool, share: Share) -> list[np.ndarray]:
    """Blocks of candidates, each bool (C, P), as `select` takes them."""
    if share == "templates":
        (crossed,) = pool.sets
        filled = [template_prompts(crossed, template) for template in crossed.templates]
        return [np.stack([pool.mask(prompts) for prompts in filled])]
    each = np.eye(len(pool.rows), dtype=bool)
    return [each[pool.owners == k] for k in range(len(pool.classes))]


def starting_points(pool: PromptPool, share: Share) -> np.ndarray:
    """Ensembles that people would try first, bool (S, P).

    Every set whole, every template with all words and with the first, second, … word of each class,
    and the first, second, … descriptions. Shared templates need none: they are one block.
    """
    found = [np.zeros((0, len(pool.rows)), dtype=bool)]
    for prompt_set in pool.sets if share == "nothing" else ():
        filled = [template_prompts(prompt_set, template) for template in prompt_set.templates]
        described = {name: prompt_set.descriptions.get(name, ()) for name in pool.classes}
        picks = [
            {name: texts[min(i, len(texts) - 1) :][:1] for name, texts in group.items()}
            for group in (*filled, described)
            for i in range(max(map(len, group.values())))
        ]
        found += [pool.mask(group)[None] for group in (*filled, *picks)]
        found.append(pool.whole(prompt_set)[None])
    masks = np.concatenate(found)
    return masks[[pool.covers(mask) for mask in masks]]


def cross_sets(sets: Sequence[PromptSet], name: str, policy: LabelPolicy) -> PromptSet:
    """All templates with all words of some sets; their descriptions take no part.

    Raises:
        LabelError: The classes of the sets differ, and the policy does not drop any.
        PromptError: There are no templates, or a class has no words.
    """
    templates = dict.fromkeys(text for prompt_set in sets for text in prompt_set.templates)
    common = common_classes(sets, policy)
    filled = [prompt_set for prompt_set in sets if prompt_set.templates]
    words = {
        c: list(dict.fromkeys(w for other in filled for w in other.classes[c])) for c in common
    }
    empty = [c for c, found in words.items() if not found]
    if not templates or empty:
        raise PromptError(
            "templates cannot be shared by all classes",
            expected="templates, and words for every class",
            found="no templates" if not templates else f"no words for {', '.join(empty)}",
            hint="Search every class on its own instead.",
        )
    first = filled[0].with_classes(common)
    return PromptSet(name=name, templates=list(templates), classes=words, anchor=first.anchor)


def new_set(
    pool: PromptPool, mask: np.ndarray, share: Share, name: str, sources: list[str]
) -> PromptSet:
    """The prompt set of a choice, which renders exactly the prompts chosen."""
    chosen, first = pool.chosen(mask), pool.sets[0]
    data: dict[str, Any] = {
        "name": name,
        "description": f"Prompts of {', '.join(sources)}, chosen by score on faces.",
        "source": f"ke2nt prompts search, from {', '.join(sources)}",
        "anchor": first.anchor if first.anchor in first.classes else first.render_anchor(),
    }
    if share == "nothing":
        return PromptSet(**data, classes=dict.fromkeys(chosen, ()), descriptions=chosen)
    kept = [
        template
        for template in first.templates
        if set(template_prompts(first, template)[pool.classes[0]]) <= set(chosen[pool.classes[0]])
    ]
    return PromptSet(**data, templates=kept, classes=first.classes)
