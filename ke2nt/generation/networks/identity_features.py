"""Features of a frozen recognizer: a space in which faces of one person lie near each other."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ModelError
from ke2nt.generation.networks.pixels import resized, to_pixels
from ke2nt.models.base import ExpressionModel

__all__ = ["FrozenFeatures"]

_GRID = 4


class FrozenFeatures(nn.Module):
    """Feature maps of one stage of a recognizer's image encoder, pooled to 4 × 4 places.

    An early stage knows the person; the last one knows little but the expression. Gradients reach
    the images and never the recognizer.

    Args:
        recognizer: Any recognizer of this project; put in evaluation mode and frozen.
        stage: Index of the stage, 0 for the first.

    Raises:
        ModelError: The image encoder has no such stage, or gives no stages.
    """

    def __init__(self, recognizer: ExpressionModel, stage: int = 2) -> None:
        super().__init__()
        self.recognizer = recognizer.eval().requires_grad_(False)
        self.stage = stage
        feature_info = getattr(recognizer.backbone.net, "feature_info", None)
        count = len(feature_info) if feature_info is not None else 0
        if not hasattr(recognizer.backbone.net, "forward_intermediates") or stage >= count:
            raise ModelError(
                "the identity space has no such stage",
                expected=f"0 to {count - 1}" if count else "an image encoder that gives its stages",
                found=stage,
            )

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) images in [−1, 1] → (B, D) features."""
        preprocessing = self.recognizer.preprocessing
        pixels = to_pixels(resized(images, preprocessing.image_size))
        maps = self.recognizer.backbone.net.forward_intermediates(
            preprocessing.normalize(pixels).expand(-1, 3, -1, -1),
            indices=[self.stage],
            intermediates_only=True,
        )[0]
        return functional.adaptive_avg_pool2d(maps, _GRID).flatten(1)
