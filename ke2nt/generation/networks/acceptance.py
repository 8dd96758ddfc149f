"""Keep the synthetic faces that a recognizer sees the asked expression in."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import LabelError
from ke2nt.generation.networks.pixels import resized, to_pixels
from ke2nt.models.base import ExpressionModel

__all__ = ["Confident", "probabilities"]


@torch.no_grad()
def probabilities(recognizer: ExpressionModel, images: Tensor) -> Tensor:
    """Class probabilities (B, K), calibrated where the recognizer is.

    Args:
        recognizer: In evaluation mode.
        images: (B, C, S, S) in [−1, 1], of any size.
    """
    preprocessing = recognizer.preprocessing
    pixels = to_pixels(resized(images, preprocessing.image_size))
    logits = recognizer(preprocessing.normalize(pixels).expand(-1, 3, -1, -1)).logits
    if recognizer.calibration is not None:
        logits = recognizer.calibration.apply(logits)
    return logits.softmax(dim=1)


class Confident:
    """Accepts faces whose expression a recognizer is sure of.

    Args:
        recognizer: Judges them.
        classes: Expressions of the generator, by index.
        min_confidence: Least probability of the expression that was asked for.

    Raises:
        LabelError: The recognizer does not know an expression.
    """

    def __init__(
        self, recognizer: ExpressionModel, classes: tuple[str, ...], min_confidence: float
    ) -> None:
        unknown = [name for name in classes if name not in recognizer.classes]
        if unknown:
            raise LabelError(
                f"the judge does not know {unknown[0]!r}",
                expected=f"a recognizer of {', '.join(classes)}",
            )
        self._recognizer = recognizer.eval()
        self._index = torch.tensor([recognizer.classes.index(name) for name in classes])
        self._least = min_confidence

    def __call__(self, images: Tensor, expressions: Tensor) -> Tensor:
        """bool (B,), which images (B, C, S, S) show the expressions (B,) they were made for."""
        wanted = self._index.to(expressions.device)[expressions]
        found = probabilities(self._recognizer, images)
        return found.gather(1, wanted[:, None]).squeeze(1) >= self._least
