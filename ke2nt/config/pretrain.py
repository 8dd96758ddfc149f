"""A first stage of training that learns attributes of people: `pretrain`."""

from __future__ import annotations

from pydantic import Field

from ke2nt.config.section import Section

__all__ = ["PretrainConfig"]


class PretrainConfig(Section):
    """The image encoder learns attributes before it learns expressions, on the same images."""

    attributes: tuple[str, ...] = Field(
        min_length=1, description="Attributes of the data, such as [gender, race, age]."
    )
    epochs: int = Field(10, ge=1, description="Epochs of this stage.")
    lr: float | None = Field(
        None, gt=0.0, description="Peak learning rate of this stage; null uses optim.lr."
    )
    missing: tuple[str, ...] = Field(
        ("unsure", "unknown", ""), description="Values that mean that an attribute is unknown."
    )
