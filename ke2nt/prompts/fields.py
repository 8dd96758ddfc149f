"""Types of the texts in a prompt set, with their validation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictStr, Tag

__all__ = ["Anchor", "ClassName", "Remark", "SetName", "Templates", "TextList"]


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def _check_not_empty(text: str) -> str:
    text = _join_lines(text)
    if not text:
        raise ValueError("is empty")
    return text


def _check_name(text: str) -> str:
    if text != _check_not_empty(text):
        raise ValueError(f"{text!r} has superfluous spaces")
    return text


def _check_no_braces(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has a brace; only templates take {{class}}")
    return text


def _check_template(text: str) -> str:
    rest = text.replace("{class}", "")
    if text.count("{class}") != 1:
        raise ValueError(f"{text!r} must contain {{class}} exactly once")
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text!r} must contain no brace other than {{class}}")
    return text


def _check_list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, found {type(value).__name__}")
    return value


def _anchor_kind(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "class"


Remark = Annotated[StrictStr, AfterValidator(_join_lines)]
_Text = Annotated[StrictStr, AfterValidator(_check_not_empty)]
_Free = Annotated[_Text, AfterValidator(_check_no_braces)]
TextList = Annotated[tuple[_Free, ...], BeforeValidator(_check_list)]
SetName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ClassName = Annotated[StrictStr, AfterValidator(_check_name), AfterValidator(_check_no_braces)]
Anchor = Annotated[
    Annotated[ClassName, Tag("class")] | Annotated[TextList, Tag("list")],
    Discriminator(_anchor_kind),
]
Templates = Annotated[
    tuple[Annotated[_Text, AfterValidator(_check_template)], ...], BeforeValidator(_check_list)
]
