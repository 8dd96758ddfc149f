"""Keep the synthetic faces that a recogniser sees the asked expression in."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import LabelError
from ke2nt.models.recogniser import Recogniser
from ke2nt.synthesis.pixels import resized, to_pixels

__all__ = ["Confident", "probabilities"]


@torch.no_grad()
def probabilities(recogniser: Recogniser, images: Tensor) -> Tensor:
    """Class probabilities (B, K), calibrated where the recogniser is.

    Args:
        recogniser: In evaluation mode.
        images: (B, C, S, S) in [−1, 1], of any size.
    """
    preprocessing = recogniser.preprocessing
    pixels = to_pixels(resized(images, preprocessing.image_size))
    logits = recogniser(preprocessing.to_input(pixels).expand(-1, 3, -1, -1)).logits
    if recogniser.calibration is not None:
        logits = recogniser.calibration.apply(logits)
    return logits.softmax(dim=1)


class Confident:
    """Accepts faces whose expression a recogniser is sure of.

    Args:
        recogniser: Judges them.
        classes: Expressions of the generator, by index.
        min_confidence: Least probability of the expression that was asked for.

    Raises:
        LabelError: The recogniser does not know an expression.
    """

    def __init__(
        self, recogniser: Recogniser, classes: tuple[str, ...], min_confidence: float
    ) -> None:
        unknown = [name for name in classes if name not in recogniser.classes]
        if unknown:
            raise LabelError(
                f"the judge does not know {unknown[0]!r}",
                expected=f"a recogniser of {', '.join(classes)}",
            )
        self._recogniser = recogniser.eval()
        self._index = torch.tensor([recogniser.classes.index(name) for name in classes])
        self._least = min_confidence

    def __call__(self, images: Tensor, expressions: Tensor) -> Tensor:
        """bool (B,), which images (B, C, S, S) show the expressions (B,) they were made for."""
        wanted = self._index.to(expressions.device)[expressions]
        found = probabilities(self._recogniser, images)
        return found.gather(1, wanted[:, None]).squeeze(1) >= self._least
