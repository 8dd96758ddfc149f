"""What every section of a configuration is: typed, read-only, without unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Base of the sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
