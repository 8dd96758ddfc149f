"""Filter synthetic faces by the confidence of a recognizer."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import LabelError
from ke2nt.generation.networks.pixels import to_model_input
from ke2nt.models.base import ExpressionModel

__all__ = ["ConfidenceFilter", "predict_probabilities"]


@torch.no_grad()
def predict_probabilities(recognizer: ExpressionModel, images: Tensor) -> Tensor:
    """Predict class probabilities (B, K), calibrated if the recognizer has a calibration.

    Args:
        recognizer: In evaluation mode.
        images: (B, C, S, S) in [−1, 1], of any size.
    """
    logits = recognizer(to_model_input(images, recognizer.preprocessing)).logits
    if recognizer.calibration is not None:
        logits = recognizer.calibration.apply(logits)
    return logits.softmax(dim=1)


class ConfidenceFilter:
    """Keeps faces whose requested expression a recognizer predicts with enough confidence.

    Args:
        recognizer: Predicts the expressions.
        classes: Expressions of the generator, by index.
        min_confidence: Smallest probability of the requested expression.

    Raises:
        LabelError: The recognizer does not know an expression.
    """

    def __init__(
        self, recognizer: ExpressionModel, classes: tuple[str, ...], min_confidence: float
    ) -> None:
        unknown = [name for name in classes if name not in recognizer.classes]
        if unknown:
            raise LabelError(
                f"the recognizer does not know {unknown[0]!r}",
                expected=f"a recognizer with the classes {', '.join(classes)}",
            )
        self._recognizer = recognizer.eval()
        self._min_confidence = min_confidence

        # generator class index → recognizer class index
        self._index = torch.tensor([recognizer.classes.index(name) for name in classes])

    def __call__(self, images: Tensor, expressions: Tensor) -> Tensor:
        """Return a bool (B,) mask of the images to keep.

        Args:
            images: (B, C, S, S) in [−1, 1].
            expressions: (B,) expressions they were generated for.
        """
        # (B,) column of each requested expression
        columns = self._index.to(expressions.device)[expressions]
        probabilities = predict_probabilities(self._recognizer, images)
        return probabilities.gather(1, columns[:, None]).squeeze(1) >= self._min_confidence
