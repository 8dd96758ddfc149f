"""A loss of another package, weighed into the objective: an entry of `loss.extra`."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from ke2nt.config.section import Section

__all__ = ["ExtraLossConfig"]


class ExtraLossConfig(Section):
    """Weight of an added loss; every other key is an argument of its class."""

    model_config = ConfigDict(extra="allow")

    weight: float = Field(ge=0.0, description="Weight in the sum; 0 leaves the loss out.")

    @model_validator(mode="before")
    @classmethod
    def _plain_weight(cls, value: Any) -> Any:
        """Read a number alone as the weight."""
        return value if isinstance(value, dict) else {"weight": value}

    def options(self) -> dict[str, Any]:
        """Arguments of the loss's class."""
        return dict(self.model_extra or {})
