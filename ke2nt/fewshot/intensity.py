"""The intensity scale of a saved method, or why it has none."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.fit_intensity import MIN_FACES, fit_intensity_scale
from ke2nt.predict.intensity import IntensityScale, compute_intensity

__all__ = ["IntensityFit", "IntensityFitter"]

_MAX_IMAGES = 1000  # of a split; the scale is made of medians


class IntensityFit(NamedTuple):
    """A scale, or None and the reason in words."""

    scale: IntensityScale | None
    reason: str = ""


class IntensityFitter:
    """Fits scales on validation images, as `ke2nt calibrate` does; the tower runs once for each.

    The training images would make a scale too large: an adapter moves them further from neutral
    than new ones. Cached embeddings do not serve, as they have unit norm.

    Args:
        tower: The model of the encoder, without an adapter.
    """

    def __init__(self, tower: KE2NT) -> None:
        self.tower = tower
        self._embedded: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}

    @torch.inference_mode()
    def fit(self, model: KE2NT, validation: FaceSplit) -> IntensityFit:
        """Fit the scale of a model.

        Args:
            model: The tower with other texts, an adapter, or both.
            validation: Labeled images that it was not fitted on.
        """
        # most draws have too few images of a class, whatever is predicted
        if max(Counter(sample.label for sample in validation.samples).values()) < MIN_FACES:
            return IntensityFit(
                None,
                f"the {len(validation)} validation images have fewer than {MIN_FACES} of each "
                "class",
            )

        embeddings, labels = self._embed(validation)
        output = model.match(embeddings)
        moves = compute_intensity(output.embeddings, None, model.bank).double().numpy()
        predicted = output.logits.argmax(dim=1).numpy()
        try:
            return IntensityFit(
                fit_intensity_scale(moves, labels.numpy(), predicted, model.classes)
            )
        except DataError as error:
            return IntensityFit(None, str(error))

    def _embed(self, validation: FaceSplit) -> tuple[Tensor, Tensor]:
        """Embeddings (N, D) of the tower, of any norm, and labels (N,)."""
        part = validation.spread(_MAX_IMAGES)
        key = tuple(sample.name for sample in part.samples)
        if key not in self._embedded:
            images = decode_for_model(self.tower, part, quiet=True)
            predictions = compute_predictions(self.tower, images, embeddings=True)
            assert predictions.embeddings is not None
            self._embedded[key] = (
                torch.from_numpy(predictions.embeddings),
                torch.from_numpy(predictions.labels),
            )
        return self._embedded[key]
