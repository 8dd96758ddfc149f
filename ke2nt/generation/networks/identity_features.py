"""Features of a frozen recognizer, a space in which faces of one person are close together."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ModelError
from ke2nt.generation.networks.pixels import to_model_input
from ke2nt.models.base import ExpressionModel

__all__ = ["FrozenFeatures", "returns_stages"]

_GRID = 4


class FrozenFeatures(nn.Module):
    """Feature maps of one stage of a recognizer's image encoder, pooled to a 4 × 4 grid.

    An early stage represents the person, the last one little but the expression. Gradients reach
    the images but not the recognizer.

    Args:
        recognizer: Any recognizer of this package; put into evaluation mode and frozen.
        stage: Index of the stage, 0 for the first.

    Raises:
        ModelError: The image encoder has no such stage, or does not return its stages.
    """

    def __init__(self, recognizer: ExpressionModel, stage: int = 2) -> None:
        super().__init__()
        self.recognizer = recognizer.eval().requires_grad_(False)
        self.stage = stage

        if not returns_stages(recognizer, stage):
            count = _count_stages(recognizer)
            raise ModelError(
                "the identity space has no such stage",
                expected=f"0 to {count - 1}"
                if count
                else "an image encoder that returns its stages",
                found=stage,
            )

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, S, S) images in [−1, 1] to (B, D) features."""
        inputs = to_model_input(images, self.recognizer.preprocessing)
        maps = self.recognizer.backbone.net.forward_intermediates(
            inputs, indices=[self.stage], intermediates_only=True
        )[0]

        # (B, channels · 4 · 4)
        return functional.adaptive_avg_pool2d(maps, _GRID).flatten(1)


def returns_stages(recognizer: ExpressionModel, stage: int = 2) -> bool:
    """Whether the image encoder of a recognizer returns the maps of this stage."""
    return stage < _count_stages(recognizer)


def _count_stages(recognizer: ExpressionModel) -> int:
    """Stages whose maps the encoder returns by timm's interface for intermediate features."""
    net = recognizer.backbone.net
    feature_info = getattr(net, "feature_info", None)
    if feature_info is None or not hasattr(net, "forward_intermediates"):
        return 0
    return len(feature_info)
