"""Attention heads on several stages of the image encoder: `model.attention`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ke2nt.config.section import Section

__all__ = ["AttentionConfig"]

_OBJECTIVE = {"supervision", "supervise"}


class AttentionConfig(Section):
    """Heads on the deepest stages, each with its own attention and loss."""

    stages: int = Field(3, ge=1, le=6, description="How many of the deepest stages have a head.")
    block: Literal["channel_spatial", "channel", "spatial", "none"] = Field(
        "channel_spatial", description="Attention on each stage's feature map."
    )
    reduction: int = Field(16, ge=1, description="Channels per hidden unit in the channel MLP.")
    kernel: int = Field(7, ge=1, description="Size of the spatial attention filter, odd.")
    fusion: Literal["doubling", "learned", "fixed"] = Field(
        "doubling",
        description="Weights of the stages in the logits: each twice that of the stage before, "
        "trained, or those of fusion_weights.",
    )
    fusion_weights: tuple[float, ...] | None = Field(
        None, description="Weights of fusion: fixed, shallow to deep; null: equal."
    )
    average: Literal["directions", "logits", "probabilities"] | None = Field(
        None,
        description="What the fusion averages over the stages: embeddings of unit norm (text head "
        "only), logits or probabilities. null: directions, or logits with a linear head.",
    )
    supervision: float | tuple[float, ...] = Field(
        0.5, description="Weight of each stage's loss: one number, or shallow to deep."
    )
    supervise: Literal["similarity", "all"] = Field(
        "similarity", description="Loss of a stage: only classification, or all KE2NT losses."
    )

    @model_validator(mode="after")
    def _check_stages(self) -> AttentionConfig:
        weights, supervision = self.fusion_weights, self.supervision
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        if weights is not None and self.fusion != "fixed":
            raise ValueError("fusion_weights need fusion: fixed")

        # one number for each stage, shallow to deep
        for name, values in (("fusion_weights", weights), ("supervision", supervision)):
            if isinstance(values, tuple) and (len(values) != self.stages or min(values) < 0):
                raise ValueError(f"{name} needs {self.stages} numbers, none below 0")
        if weights is not None and not sum(weights):
            raise ValueError("fusion_weights must not all be 0")
        if isinstance(supervision, float) and supervision < 0:
            raise ValueError("supervision must not be below 0")
        return self

    def architecture(self) -> dict[str, Any]:
        """Return the keys that describe the model, without the objective, as plain JSON."""
        return self.model_dump(mode="json", exclude=_OBJECTIVE)
