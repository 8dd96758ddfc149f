"""A prompt set: words, templates and descriptions for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ke2nt.errors import PromptError
from ke2nt.labels import NEUTRAL
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.fields import Anchor, ClassName, Remark, SetName, Templates, TextList
from ke2nt.prompts.learned_vectors import unknown_marks
from ke2nt.prompts.problems import Problems, PromptSetError, list_problems
from ke2nt.prompts.reader import read_yaml
from ke2nt.prompts.vector_files import LearnedFacts, read_vectors
from ke2nt.resources import find_resource
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["PAPER_TEMPLATE", "PromptSet"]

PAPER_TEMPLATE = "a photo of a person making a {class} facial expression."


class PromptSet(BaseModel):
    """Prompts of every class, and of the neutral anchor.

    Attributes:
        name: Short name: letters, digits, `_`, `.` and `-`.
        description: What the set is.
        source: Where it comes from.
        templates: Sentences with exactly one `{class}`; "a {class}" takes the right article.
        classes: Class → words for it, in label order. A class without words needs descriptions.
        descriptions: Class → full prompts, used beside the templates.
        anchor: Whose prompts stand for the neutral face: a class of the set, a list of full
            prompts, or "neutral", which works as a word in the templates where it is no class.
        learned: The encoder and the file of learned vectors that prompts name by marks
            (`prompts/learned_vectors.py`), or None.

    Raises:
        PromptError: The set is not valid; every problem is named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SetName
    description: Remark = ""
    source: Remark = ""
    templates: Templates = ()
    classes: Annotated[dict[ClassName, TextList], Field(min_length=1)]
    descriptions: dict[ClassName, TextList] = {}
    anchor: Anchor = NEUTRAL
    learned: LearnedFacts | None = None

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise PromptSetError(list_problems(error, type(self).model_fields)) from None

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        problems = [
            *self._find_unknown_descriptions(),
            *self._find_prompt_problems(),
            *self._find_anchor_problems(),
            *self._find_unknown_vectors(),
        ]
        if problems:
            raise Problems(problems)
        return self

    def _find_unknown_descriptions(self) -> list[str]:
        problems = []
        for name in self.descriptions:
            if name not in self.classes:
                hint = did_you_mean(name, self.classes)
                suffix = f" ({hint})" if hint else ""
                problems.append(
                    f"descriptions name the class {name!r}, which is not among the classes{suffix}"
                )
        return problems

    def _find_prompt_problems(self) -> list[str]:
        """List repeated templates and prompts, and classes that have none or the same prompts."""
        repeated_templates = _find_repeated(self.templates)
        problems = [f"the template {text!r} is given twice" for text in repeated_templates]
        class_of: dict[frozenset[str], str] = {}
        for name in self.classes:
            prompts = self._render(name)
            if not prompts:
                problems.append(
                    f"no prompts for {name!r}: give words and templates, or descriptions"
                )
                continue

            # a repeated template would repeat the prompts of every class
            if not repeated_templates:
                repeated = _find_repeated(prompts)
                problems += [f"{name!r} has the prompt {text!r} twice" for text in repeated]
            first = class_of.setdefault(frozenset(prompts), name)
            if first != name:
                problems.append(f"{first!r} and {name!r} have the same prompts")
        return problems

    def _find_anchor_problems(self) -> list[str]:
        if isinstance(self.anchor, tuple):
            if not self.anchor:
                return ["the anchor is an empty list"]
            return [
                f"the anchor has the prompt {text!r} twice" for text in _find_repeated(self.anchor)
            ]
        if self.anchor in self.classes or (self.anchor == NEUTRAL and self.templates):
            return []
        hint = did_you_mean(self.anchor, self.classes) or "write full prompts as a list"
        return [f"the anchor {self.anchor!r} is not among the classes ({hint})"]

    def _find_unknown_vectors(self) -> list[str]:
        texts = [*self.templates, *(text for row in self.descriptions.values() for text in row)]
        if isinstance(self.anchor, tuple):
            texts += self.anchor
        return [
            f"{text} stands for learned vectors that are not there (load the set from its own file)"
            for text in unknown_marks(texts)
        ]

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a shipped set by name ("paper"), or a YAML file.

        Raises:
            PromptError: There is no such name or file, or the file is not a valid prompt set.
        """
        path = find_resource("prompts", name_or_path)
        data = read_yaml(path)
        # prompts with marks are valid once their vectors are known
        if "learned" in data:
            read_vectors(path, data["learned"])
        return cls.from_dict({"name": path.stem, **data}, where=path)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: object = None) -> Self:
        """Build a prompt set from plain values, as `to_dict` returns them.

        Args:
            data: Field → value.
            where: The file or key to name in errors.

        Raises:
            PromptError: The values are not a valid prompt set.
        """
        unnamed = [key for key in data if not isinstance(key, str)]
        if unnamed:
            raise PromptSetError([f"the key {key!r} is not text" for key in unnamed], where=where)
        try:
            return cls(**data)
        except PromptSetError as error:
            raise PromptSetError(error.problems, where=where) from None

    @classmethod
    def from_words(
        cls,
        words: Sequence[str],
        template: str | Sequence[str] = PAPER_TEMPLATE,
        *,
        name: str = "words",
    ) -> Self:
        """Build a prompt set whose classes are any words, such as ["bored", "in pain"].

        Args:
            words: One class each, in label order.
            template: One or more sentences with `{class}`. The default is the KE2NT prompt, which
                fits a model trained with the set `paper` best.
            name: Name of the set.

        Raises:
            PromptError: There are no words, a word is repeated, or a template has no `{class}`.
        """
        if isinstance(words, str) or not isinstance(words, Iterable):
            raise PromptError("words must be a list", found=repr(words))
        for word in words:
            if not isinstance(word, str):
                raise PromptError("words must be text", found=repr(word))
        if not words:
            raise PromptError("no words given", expected='at least one, such as ["bored"]')

        # words that differ only in spaces are the same word
        words = [" ".join(word.split()) for word in words]
        repeated = _find_repeated(words)
        if repeated:
            raise PromptError(f"the word {repeated[0]!r} is given twice")
        templates = [template] if isinstance(template, str) else list(template)
        return cls(name=name, templates=templates, classes={word: [word] for word in words})

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return tuple(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Self:
        """Return the set with only some of its classes, in this order; the anchor is kept.

        Raises:
            PromptError: A class is unknown or repeated, or there is none.
        """
        if isinstance(classes, str):
            raise PromptError(
                "classes must be a list", expected=f"[{classes!r}]", found=repr(classes)
            )
        for name in classes:
            self._check_class(name)
        repeated = _find_repeated(classes)
        if repeated:
            raise PromptError(f"the class {repeated[0]!r} is given twice")

        # an anchor that names a class which is left out becomes a list of its prompts
        data = self.to_dict()
        data["classes"] = {name: self.classes[name] for name in classes}
        data["descriptions"] = {k: v for k, v in self.descriptions.items() if k in classes}
        if self.anchor in self.classes and self.anchor not in classes:
            data["anchor"] = self.render_anchor()
        return type(self)(**data)

    def with_words(self, classes: Sequence[str]) -> Self:
        """Return the set with further classes, each with its name as the word for the templates.

        Args:
            classes: Classes that the prompts must have; those of the set stay as they are. In the
                words, "_" stands for a space: "in_pain" becomes "in pain".

        Raises:
            PromptError: A class is new, and the set has no templates.
        """
        new = [name for name in dict.fromkeys(classes) if name not in self.classes]
        if not new:
            return self

        # a context of one class says nothing about another
        if self.learned is not None and self.learned.class_specific:
            raise PromptError(
                f"the context was learned for each class, and {new[0]!r} is not among them",
                expected=f"one of {', '.join(self.classes)}",
                where=f"prompt set {self.name!r}",
                hint="Learn one context for all classes, without --class-specific.",
            )

        if not self.templates:
            raise PromptError(
                f"the prompt set has no class {new[0]!r}, and no templates for further words",
                expected=f"one of {', '.join(self.classes)}",
                where=f"prompt set {self.name!r}",
                hint=did_you_mean(new[0], self.classes),
            )
        words = {name: [" ".join(name.replace("_", " ").split())] for name in new}
        return type(self)(**{**self.to_dict(), "classes": {**self.classes, **words}})

    def render(self, class_name: str) -> tuple[str, ...]:
        """Return every prompt of a class: each word in each template, then the descriptions.

        Raises:
            PromptError: The class is unknown; the message names the nearest one.
        """
        self._check_class(class_name)
        return self._render(class_name)

    def render_anchor(self) -> tuple[str, ...]:
        """Return every prompt of the neutral anchor."""
        if isinstance(self.anchor, tuple):
            return self.anchor
        if self.anchor in self.classes:
            return self._render(self.anchor)
        return tuple(fill_template(template, self.anchor) for template in self.templates)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` reads them back."""
        excluded = {"learned"} if self.learned is None else None
        return self.model_dump(mode="json", exclude=excluded)

    def to_yaml(self) -> str:
        """Return YAML text; `load` reads it back from a file."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=1000)

    def _check_class(self, name: str) -> None:
        if name not in self.classes:
            raise PromptError(
                f"unknown class {name!r}",
                expected=f"one of {', '.join(self.classes)}",
                where=f"prompt set {self.name!r}",
                hint=did_you_mean(str(name), self.classes),
            )

    def _render(self, name: str) -> tuple[str, ...]:
        words = self.classes[name]
        filled = tuple(
            fill_template(template, word) for word in words for template in self.templates
        )
        return filled + self.descriptions.get(name, ())


def _find_repeated(texts: Sequence[str]) -> list[str]:
    """Return every text that occurs more than once."""
    return [text for text, count in Counter(texts).items() if count > 1]
