"""What every section of a configuration is: typed, read-only, without unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

__all__ = ["FREE_ON_RESUME", "MAY_MOVE", "Section"]

FREE_ON_RESUME: JsonDict = {"resume": "free"}
"""`json_schema_extra` of a field that may differ when a run is resumed: it says where things are,
how fast the run goes, or what is read only once, at the start."""

MAY_MOVE: JsonDict = {"resume": "path"}
"""`json_schema_extra` of a field that names a file; a resumed run may name another place, if the
file has moved."""


class Section(BaseModel):
    """Base of the sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
