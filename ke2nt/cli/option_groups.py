"""Groups of options that are declared once and reach a command as one object.

A group is a dataclass whose fields are typer options:

    @dataclass(frozen=True)
    class SizeOptions:
        width: Annotated[int, typer.Option("--width")] = 64
        height: Annotated[int, typer.Option("--height")] = 64

    @with_option_groups
    def draw(path: Path, size: SizeOptions) -> None: ...

The command then has the options --width and --height, and gets them as `size`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

__all__ = ["with_option_groups"]

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Expand the groups in a command's signature into their options, for typer to read.

    Raises:
        TypeError: Two options have the same name.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = list(_expand(inspect.signature(command), hints))
    names = [parameter.name for parameter in parameters]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{command.__name__} has two options named {', '.join(sorted(repeated))}")

    @functools.wraps(command)
    def collect_groups(**values: Any) -> None:
        arguments: dict[str, Any] = {}
        for name, group in groups.items():
            arguments[name] = group(
                **{field.name: values.pop(field.name) for field in fields(group)}
            )
        command(**arguments, **values)

    # typer reads both, and must not find the groups behind `__wrapped__`
    del collect_groups.__wrapped__
    collect_groups.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect_groups.__annotations__ = {each.name: each.annotation for each in parameters}
    return collect_groups


def _expand(signature: inspect.Signature, hints: dict[str, Any]) -> Iterator[inspect.Parameter]:
    """Yield a command's own parameters, and in place of each group one for each of its fields."""
    for name, parameter in signature.parameters.items():
        group = hints[name]
        if not is_dataclass(group):
            yield parameter.replace(annotation=group, kind=_KEYWORD)
            continue

        # a field without a default is a required option
        types = get_type_hints(group, include_extras=True)
        for field in fields(group):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name, _KEYWORD, default=default, annotation=types[field.name]
            )
