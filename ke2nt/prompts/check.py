"""Problems of a prompt set, and warnings about valid but doubtful content."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ke2nt.errors import LabelError, PromptError
from ke2nt.labels import canonical_name
from ke2nt.prompts.problems import PromptSetError
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import find_resource

__all__ = ["PromptCheck", "check_prompts", "prompt_warnings"]


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """Result of one check.

    Attributes:
        target: The name or file that was checked.
        prompts: The prompt set, or None if it is not valid.
        problems: Why it is not valid.
        warnings: What is valid but doubtful.
    """

    target: str
    prompts: PromptSet | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_prompts(name_or_path: str | Path) -> PromptCheck:
    """Check a shipped set or a file: return all of its problems, or else its warnings."""
    target = str(name_or_path)
    try:
        prompts = PromptSet.load(name_or_path)
    except PromptSetError as error:
        return PromptCheck(target, None, error.problems, ())
    except PromptError as error:
        return PromptCheck(target, None, (str(error),), ())

    warnings = prompt_warnings(prompts)
    stem = find_resource("prompts", name_or_path).stem
    if stem != prompts.name:
        warnings.append(f"the file is called {stem!r}, but the set {prompts.name!r}")
    return PromptCheck(target, prompts, (), tuple(warnings))


def prompt_warnings(prompts: PromptSet) -> list[str]:
    """List shared words, prompts that are nearly the same, unused templates, odd class names."""
    warnings = _find_shared_words(prompts) + _find_similar_prompts(prompts)
    if prompts.templates and not any(prompts.classes.values()):
        warnings.append("the templates are not used: no class has words")
    for name in prompts.classes:
        canonical = _canonical(name)
        if canonical not in (name, None):
            warnings.append(f"the class {name!r} is called {canonical!r} in the datasets")
    return warnings


def _find_shared_words(prompts: PromptSet) -> list[str]:
    classes_of: dict[str, list[str]] = defaultdict(list)
    for name, words in prompts.classes.items():
        for word in dict.fromkeys(word.casefold() for word in words):
            classes_of[word].append(name)
    return [
        f"the word {word!r} is shared by {' and '.join(classes)}"
        for word, classes in classes_of.items()
        if len(classes) > 1
    ]


def _find_similar_prompts(prompts: PromptSet) -> list[str]:
    """Find prompts that differ only in case, punctuation and articles."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in prompts.classes:
        for prompt in dict.fromkeys(prompts.render(name)):
            groups[_gist(prompt)].append((name, prompt))

    warnings = []
    for group in groups.values():
        texts = {prompt for _, prompt in group}
        if len(texts) > 1:
            listed = " and ".join(f"{prompt!r} ({name})" for name, prompt in group)
            warnings.append(f"nearly the same prompts: {listed}")

        # with templates, the same prompt comes from a shared word, which has its warning
        elif len(group) > 1 and not prompts.templates:
            classes = " and ".join(name for name, _ in group)
            warnings.append(f"the prompt {texts.pop()!r} is shared by {classes}")
    return warnings


def _gist(prompt: str) -> str:
    """Return a prompt's words in lower case, without articles."""
    words = re.findall(r"\w+", prompt.casefold())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _canonical(name: str) -> str | None:
    """Return the datasets' name of a class, or None for a class that no dataset has."""
    try:
        return canonical_name(name)
    except LabelError:
        return None
