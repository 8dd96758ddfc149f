"""What may change in a configuration when a run is resumed, as its fields are marked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ke2nt.config.section import Section

__all__ = ["Change", "config_changes"]


class Change(NamedTuple):
    """A key whose value must not change in a resumed run.

    Attributes:
        key: With dots between levels.
        before: Value when the run began.
        now: Value in the resumed run.
    """

    key: str
    before: Any
    now: Any


def config_changes(before: Mapping[str, Any], config: Section) -> list[Change]:
    """List the changes that a resumed run does not allow.

    Args:
        before: The configuration when the run began, as plain JSON.
        config: The configuration now.
    """
    marks = _marks(type(config))
    return list(_compare(before, config.model_dump(mode="json"), marks, ""))


def _compare(before: Any, now: Any, marks: Mapping[str, str], key: str) -> Iterator[Change]:
    if marks.get(key) == "free" or before == now:
        return

    # A newer version may know more keys.
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before.keys() & now.keys():
            yield from _compare(before[name], now[name], marks, f"{key}.{name}".lstrip("."))
        return

    moved = os.sep in str(before) and not Path(before).expanduser().exists()
    if not (moved and marks.get(key) == "path"):
        yield Change(key, before, now)


def _marks(kind: type[Section], prefix: str = "") -> dict[str, str]:
    """Key → "free" or "path", for the marked fields of a section and the sections in it."""
    marks: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "resume" in extra:
            marks[prefix + name] = str(extra["resume"])
        for section in _sections(field.annotation):
            marks |= _marks(section, f"{prefix}{name}.")
    return marks


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type names, such as the one in `ExtraConfig | None`."""
    kinds = [annotation, *get_args(annotation)]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
