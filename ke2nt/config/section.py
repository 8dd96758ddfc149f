"""What every section of a configuration is: typed, read-only, without unknown keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["ReaderOptions", "Section"]


class Section(BaseModel):
    """Base of the sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_place(options: dict[str, Any]) -> dict[str, Any]:
    if own := sorted(options.keys() & {"name", "root"}):
        raise ValueError(f"{' and '.join(own)} of the dataset stand beside the options")
    return options


ReaderOptions = Annotated[dict[str, Any], AfterValidator(_no_place)]
"""Options of a dataset's reader, beside its name and root."""
