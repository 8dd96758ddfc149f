"""What of a model trains: `model.tune` and `model.lora`."""

from __future__ import annotations

import re

from pydantic import Field

from ke2nt.config.section import Section

__all__ = ["LoraConfig", "check_tune"]

_LAST = re.compile(r"last:[1-9]\d{0,3}")
_NAMES = ("full", "head", "norms", "lora")


class LoraConfig(Section):
    """Low-rank changes of frozen matrices."""

    rank: int = Field(8, ge=1, le=1024, description="Rank r of each change.")
    alpha: float = Field(16.0, gt=0.0, description="Each change is weighed by alpha / rank.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout of the input of a change.")
    targets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Names of layers or ends of them, such as [qkv, attn.proj]; null: all linear "
        "layers of the blocks, or their convolutions if there are none.",
    )


def check_tune(value: str) -> str:
    """Return a value of `model.tune` if it is valid.

    Raises:
        ValueError: It is not.
    """
    if value not in _NAMES and not _LAST.fullmatch(value):
        raise ValueError(f"{value!r} is not one of {', '.join(_NAMES)} and last:N with N from 1")
    return value
