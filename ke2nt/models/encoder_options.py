"""Options of a model's image encoder, as a saved model keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ke2nt.errors import ModelError
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.timm_models import Stem

__all__ = ["EncoderOptions"]

# parameters of create_backbone that are options of the model itself
_RESERVED = {"name", "image_size", "in_chans", "stem", "drop_path", "pretrained", "tower"}


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderOptions:
    """Options of the image encoder that all heads share.

    Attributes:
        backbone: timm name or alias, the dotted path of a class or factory, or a module; see
            `create_backbone`.
        image_size: Side of the square input in pixels; None for the encoder's.
        stem: First layers of the encoder, see `create_backbone`.
        drop_path: Rate of stochastic depth, None for the encoder's default.
        backbone_options: Further arguments of the encoder, plain JSON values.
        dropout: Probability of dropping a pooled feature in training, 0 to below 1.
        attention: Heads with attention on several stages; None for one head on the pooled features
            of the last stage.
        tower: What builds the image tower of a vision-language model again; None before its
            weights are loaded, and for other encoders.

    Raises:
        ModelError: An option is out of range or reserved.
    """

    backbone: str | nn.Module
    image_size: int | None
    stem: Stem = "standard"
    drop_path: float | None = None
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    attention: StageOptions | None = None
    tower: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.backbone, str | nn.Module):
            raise ModelError(
                "the backbone is not valid",
                expected="the name of a timm model, package.module.Net, or a torch.nn.Module",
                found=repr(self.backbone),
            )
        if not 0 <= self.dropout < 1:
            raise ModelError("dropout is out of range", expected="0 to below 1", found=self.dropout)
        reserved = sorted(_RESERVED & self.backbone_options.keys())
        if reserved:
            raise ModelError(f"backbone options may not set {', '.join(reserved)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value; the backbone is None if it was given as a module."""
        value: dict[str, Any] = {
            "backbone": self.backbone if isinstance(self.backbone, str) else None,
            "image_size": self.image_size,
            "stem": self.stem,
            "drop_path": self.drop_path,
            "backbone_options": dict(self.backbone_options),
            "dropout": self.dropout,
        }
        if self.attention is not None:
            value["attention"] = self.attention.to_dict()
        if self.tower is not None:
            value["tower"] = dict(self.tower)
        return value
