"""What is wrong or doubtful about a prompt set."""

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
        target: The name or file as it was given.
        prompts: The prompt set, or None where it is not valid.
        problems: Why it is not valid.
        warnings: What is valid but doubtful.
    """

    target: str
    prompts: PromptSet | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_prompts(name_or_path: str | Path) -> PromptCheck:
    """Check a shipped set or a file: every problem it has, or else its warnings."""
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
    """Words that two classes share, prompts that nearly agree, unused words, odd class names."""
    warnings = []
    holders: dict[str, dict[str, None]] = defaultdict(dict)
    for name, words in prompts.classes.items():
        for word in words:
            holders[word.casefold()][name] = None
    for word, owners in holders.items():
        if len(owners) > 1:
            warnings.append(f"the word {word!r} is shared by {' and '.join(owners)}")

    similar: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for name in prompts.classes:
        for prompt in prompts.render(name):
            similar[_gist(prompt)][name, prompt] = None
    for group in similar.values():
        if len({prompt for _, prompt in group}) > 1:
            texts = " and ".join(f"{prompt!r} ({name})" for name, prompt in group)
            warnings.append(f"nearly the same prompts: {texts}")
        elif len(group) > 1 and not prompts.templates:
            (_, prompt), *_ = group
            names = " and ".join(name for name, _ in group)
            warnings.append(f"the prompt {prompt!r} is shared by {names}")

    if prompts.templates and not any(prompts.classes.values()):
        warnings.append("the templates are not used: no class has words")
    for name in prompts.classes:
        canonical = _canonical(name)
        if canonical not in (name, None):
            warnings.append(f"the class {name!r} is not called {canonical!r}, as in the datasets")
    return warnings


def _gist(prompt: str) -> str:
    words = re.findall(r"\w+", prompt.casefold())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _canonical(name: str) -> str | None:
    try:
        return canonical_name(name)
    except LabelError:
        return None
