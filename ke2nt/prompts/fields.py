"""The kinds of text in a prompt set, and what each must be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictStr, Tag

__all__ = ["Anchor", "ClassName", "Remark", "SetName", "Templates", "TextList"]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _tidy(text: str) -> str:
    text = _one_line(text)
    if not text:
        raise ValueError("is empty")
    return text


def _tidy_name(text: str) -> str:
    if text != _tidy(text):
        raise ValueError(f"{text!r} has a space too many")
    return text


def _free(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has a brace; only templates take {{class}}")
    return text


def _template(text: str) -> str:
    rest = text.replace("{class}", "")
    if text.count("{class}") != 1:
        raise ValueError(f"{text!r} must contain {{class}} exactly once")
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text!r} must contain no brace other than {{class}}")
    return text


def _listed(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, found {type(value).__name__}")
    return value


def _anchor_kind(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "class"


Remark = Annotated[StrictStr, AfterValidator(_one_line)]
_Text = Annotated[StrictStr, AfterValidator(_tidy)]
_Free = Annotated[_Text, AfterValidator(_free)]
TextList = Annotated[tuple[_Free, ...], BeforeValidator(_listed)]
SetName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ClassName = Annotated[StrictStr, AfterValidator(_tidy_name), AfterValidator(_free)]
Anchor = Annotated[
    Annotated[ClassName, Tag("class")] | Annotated[TextList, Tag("list")],
    Discriminator(_anchor_kind),
]
Templates = Annotated[
    tuple[Annotated[_Text, AfterValidator(_template)], ...], BeforeValidator(_listed)
]
