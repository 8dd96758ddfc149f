"""What a search chooses from, and the prompt set built from its choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ke2nt.errors import PromptError
from ke2nt.labels import LabelPolicy
from ke2nt.promptlab.options import Share
from ke2nt.promptlab.pool import PromptPool, template_prompts
from ke2nt.promptlab.workbench import find_common_classes
from ke2nt.prompts.prompt_set import PromptSet

__all__ = [
    "build_candidate_blocks",
    "build_selected_set",
    "build_starting_points",
    "combine_sets",
]


def build_candidate_blocks(pool: PromptPool, share: Share) -> list[np.ndarray]:
    """Build blocks of candidates, each bool (C, P), for `select_ensemble`."""
    # One block: each template, filled with the words of all classes, is a candidate.
    if share == "templates":
        (combined,) = pool.sets
        filled = [template_prompts(combined, template) for template in combined.templates]
        return [np.stack([pool.mask(prompts) for prompts in filled])]

    # One block per class: each of its prompts is a candidate.
    single_prompts = np.eye(len(pool.rows), dtype=bool)
    return [single_prompts[pool.prompt_classes == k] for k in range(len(pool.classes))]


def build_starting_points(pool: PromptPool, share: Share) -> np.ndarray:
    """Build the ensembles that people would try first, bool (S, P).

    These are every whole set, every template with all words and with the first, second, … word of
    each class, and the first, second, … descriptions. Shared templates need no starting points:
    they are a single block.
    """
    masks = [np.zeros(len(pool.rows), dtype=bool)]
    for prompt_set in pool.sets if share == "nothing" else ():
        # Class → texts, for each template and for the descriptions.
        filled = [template_prompts(prompt_set, template) for template in prompt_set.templates]
        described = {name: prompt_set.descriptions.get(name, ()) for name in pool.classes}

        masks += [pool.mask(texts) for texts in filled]
        for texts in (*filled, described):
            masks += [pool.mask(picks) for picks in _pick_one_each(texts)]
        masks.append(pool.mask_of_set(prompt_set))

    # The empty mask, which gives the array its width, covers no class either.
    return np.stack(masks)[[pool.covers_all_classes(mask) for mask in masks]]


def _pick_one_each(texts: Mapping[str, Sequence[str]]) -> list[dict[str, Sequence[str]]]:
    """The first, second, … text of each class; a class with fewer repeats its last one."""
    longest = max(map(len, texts.values()))
    return [
        {name: options[min(i, len(options) - 1) :][:1] for name, options in texts.items()}
        for i in range(longest)
    ]


def combine_sets(sets: Sequence[PromptSet], name: str, policy: LabelPolicy) -> PromptSet:
    """Combine all templates with all words of some sets, without their descriptions.

    Raises:
        LabelError: The classes of the sets differ, and the policy does not drop any.
        PromptError: There are no templates, or a class has no words.
    """
    templates = dict.fromkeys(text for prompt_set in sets for text in prompt_set.templates)
    classes = find_common_classes(sets, policy)

    # Words of a set without templates never become prompts.
    with_templates = [prompt_set for prompt_set in sets if prompt_set.templates]
    words: dict[str, list[str]] = {}
    for class_name in classes:
        class_words = [word for each in with_templates for word in each.classes[class_name]]
        words[class_name] = list(dict.fromkeys(class_words))

    empty = [class_name for class_name, class_words in words.items() if not class_words]
    if not templates or empty:
        raise PromptError(
            "templates cannot be shared by all classes",
            expected="templates, and words for every class",
            found="no templates" if not templates else f"no words for {', '.join(empty)}",
            hint="Search each class separately instead.",
        )
    anchor = with_templates[0].with_classes(classes).anchor
    return PromptSet(name=name, templates=list(templates), classes=words, anchor=anchor)


def build_selected_set(
    pool: PromptPool, mask: np.ndarray, share: Share, name: str, sources: list[str]
) -> PromptSet:
    """Build the prompt set that renders exactly the prompts of a mask, bool (P,)."""
    texts, first = pool.select_texts(mask), pool.sets[0]
    # The neutral anchor of the first set is kept, as prompts if it is not one of the classes.
    facts: dict[str, Any] = {
        "name": name,
        "description": f"Prompts of {', '.join(sources)}, chosen by score on faces.",
        "source": f"ke2nt prompts search, from {', '.join(sources)}",
        "anchor": first.anchor if first.anchor in first.classes else first.render_anchor(),
    }

    # Prompts of single classes become descriptions, which are rendered unchanged.
    if share == "nothing":
        return PromptSet(**facts, classes=dict.fromkeys(texts, ()), descriptions=texts)

    # Templates are chosen for all classes at once, so any class tells which ones.
    class_name = pool.classes[0]
    chosen = set(texts[class_name])
    templates = [
        template
        for template in first.templates
        if set(template_prompts(first, template)[class_name]) <= chosen
    ]
    return PromptSet(**facts, templates=templates, classes=first.classes)
