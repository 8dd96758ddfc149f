"""A prompt set: the words, templates and descriptions that say what each class looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ke2nt.errors import PromptError
from ke2nt.labels import NEUTRAL
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.fields import Anchor, ClassName, Remark, SetName, Templates, TextList
from ke2nt.prompts.problems import Problems, PromptSetError, list_problems
from ke2nt.prompts.reader import read_yaml
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

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise PromptSetError(list_problems(error, type(self).model_fields)) from None

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        problems = [
            f"descriptions name the class {name!r}, which is not among the classes"
            + (f" ({hint})" if (hint := did_you_mean(name, self.classes)) else "")
            for name in self.descriptions
            if name not in self.classes
        ]
        twice = [text for text, count in Counter(self.templates).items() if count > 1]
        problems += [f"the template {text!r} is given twice" for text in twice]
        rendered: dict[frozenset[str], str] = {}
        for name in self.classes:
            prompts = self._render(name)
            if not prompts:
                problems.append(
                    f"no prompts for {name!r}: give words and templates, or descriptions"
                )
                continue
            again = [text for text, count in Counter(prompts).items() if count > 1]
            if not twice:
                problems += [f"{name!r} has the prompt {text!r} twice" for text in again]
            same = rendered.setdefault(frozenset(prompts), name)
            if same != name:
                problems.append(f"{same!r} and {name!r} have the same prompts")
        problems += self._anchor_problems()
        if problems:
            raise Problems(problems)
        return self

    def _anchor_problems(self) -> list[str]:
        if isinstance(self.anchor, tuple):
            if not self.anchor:
                return ["the anchor is an empty list"]
            return [
                f"the anchor has the prompt {text!r} twice"
                for text, count in Counter(self.anchor).items()
                if count > 1
            ]
        if self.anchor in self.classes or (self.anchor == NEUTRAL and self.templates):
            return []
        hint = did_you_mean(self.anchor, self.classes) or "free prompts are given as a list"
        return [f"the anchor {self.anchor!r} is not among the classes ({hint})"]

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a shipped set by name ("paper") or a YAML file of the user's.

        Raises:
            PromptError: No such name or file, or the file is not a valid prompt set.
        """
        path = find_resource("prompts", name_or_path)
        return cls.from_dict({"name": path.stem, **read_yaml(path)}, where=path)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: object = None) -> Self:
        """A prompt set from plain values, as `to_dict` gives them.

        Args:
            data: Field → value.
            where: The file or key to name in errors.

        Raises:
            PromptError: The values are no valid prompt set.
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
        """A prompt set whose classes are any words, such as ["bored", "in pain"].

        Args:
            words: One class each, in label order.
            template: One or more sentences with `{class}`; the default is the KE2NT prompt, which a
                model trained on the set `paper` knows best.
            name: Name of the set.

        Raises:
            PromptError: No words, a word given twice, or a template without `{class}`.
        """
        if isinstance(words, str):
            raise PromptError("words must be a list", found=repr(words))
        bad = [word for word in words if not isinstance(word, str)]
        if bad:
            raise PromptError("words must be text", found=repr(bad[0]))
        words = [" ".join(word.split()) for word in words]
        if not words:
            raise PromptError("no words given", expected='at least one, such as ["bored"]')
        twice = [word for word, count in Counter(words).items() if count > 1]
        if twice:
            raise PromptError(f"the word {twice[0]!r} is given twice")
        templates = [template] if isinstance(template, str) else list(template)
        return cls(name=name, templates=templates, classes={word: [word] for word in words})

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in label order."""
        return tuple(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Self:
        """The same set with some of its classes, in the order given; the anchor stays as it is.

        Raises:
            PromptError: A class is unknown or given twice, or none is given.
        """
        if isinstance(classes, str):
            raise PromptError(
                "classes must be a list", expected=f"[{classes!r}]", found=repr(classes)
            )
        for name, count in Counter(classes).items():
            self._known(name)
            if count > 1:
                raise PromptError(f"the class {name!r} is given twice")
        data = self.to_dict()
        data["classes"] = {name: self.classes[name] for name in classes}
        data["descriptions"] = {k: v for k, v in self.descriptions.items() if k in classes}
        if self.anchor in self.classes and self.anchor not in classes:
            data["anchor"] = self.render_anchor()
        return type(self)(**data)

    def render(self, class_name: str) -> tuple[str, ...]:
        """Every prompt of a class: each word in each template, then the descriptions.

        Raises:
            PromptError: The class is unknown; the message names the nearest one.
        """
        self._known(class_name)
        return self._render(class_name)

    def render_anchor(self) -> tuple[str, ...]:
        """Every prompt of the neutral anchor."""
        if isinstance(self.anchor, tuple):
            return self.anchor
        if self.anchor in self.classes:
            return self._render(self.anchor)
        return tuple(fill_template(template, self.anchor) for template in self.templates)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """YAML text; `load` reads it back from a file."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=1000)

    def _known(self, name: str) -> None:
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
