"""Face crops → calibrated probabilities and intensities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.crop import crop_face
from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import compute_intensity
from ke2nt.predict.scores import Scores

__all__ = ["FaceClassifier"]


class FaceClassifier:
    """A model together with everything that its crops need.

    Args:
        model: A recognizer; it is moved to the device and put in evaluation mode.
        device: Where to compute.
        batch_size: Faces per forward pass.

    Attributes:
        settings: How the model expects faces to be cropped.
        neutral: (1, D) embedding of a neutral photo, or None for the median neutral face.
        custom_classes: Whether the classes are not those the model was trained with; the intensity
            scale does not apply to them.
    """

    def __init__(self, model: ExpressionModel, *, device: torch.device, batch_size: int) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.batch_size = batch_size
        self.settings = FaceSettings.from_model(model)
        self.neutral: Tensor | None = None
        self.custom_classes = False

    @property
    def has_scale(self) -> bool:
        """Whether intensities are on the model's scale: 0 neutral, 1 typical."""
        return self.settings.intensity is not None and not self.custom_classes

    def crop(self, pixels: np.ndarray, box: Box | None) -> np.ndarray:
        """Crop a face for the model: uint8 (S, S, 3); the whole image if there is no box."""
        return crop_face(pixels, box, self.model.preprocessing, self.settings)

    def set_neutral(self, crop: np.ndarray) -> None:
        """Measure intensities from this neutral face, given as `crop` returns it.

        Raises:
            ModelError: The model has a linear head.
        """
        if self.model.bank is None:
            raise ModelError("a linear head has no text to measure intensity along")
        self.neutral = self._forward([crop]).embeddings

    def classify(self, crops: Sequence[np.ndarray], *, alone: bool = True) -> Scores:
        """Score N crops, N ≥ 1.

        Args:
            crops: As `crop` returns them.
            alone: Whether no other thread computes meanwhile; otherwise one thread is used.

        Raises:
            ModelError: The model returns logits that are NaN or infinite.
        """
        starts = range(0, len(crops), self.batch_size)
        with nullcontext() if alone else _one_thread():
            batches = [
                self._classify_batch(crops[start : start + self.batch_size]) for start in starts
            ]

        # a part that one batch lacks, all lack
        columns = zip(*batches, strict=True)
        return Scores._make(None if part[0] is None else np.concatenate(part) for part in columns)

    def _classify_batch(self, crops: Sequence[np.ndarray]) -> Scores:
        # float64, so that the rows of a softmax sum to 1 in every table
        output = self._forward(crops)
        logits = output.logits.cpu().double()
        if not logits.isfinite().all():
            raise ModelError(
                "the model returns logits that are NaN or infinite",
                hint="Its weights are damaged, or training diverged.",
            )

        if self.model.calibration is not None:
            logits = self.model.calibration.apply(logits)
        probabilities = logits.softmax(dim=-1).numpy()
        familiarity = None
        if self.model.familiarity is not None:
            familiarity = self.model.familiarity.measure(output.embeddings).cpu().double().numpy()
        return Scores(probabilities, self._scale_intensities(output.embeddings), familiarity)

    def _scale_intensities(self, embeddings: Tensor) -> np.ndarray | None:
        """(B, K) intensities of embeddings (B, D), on the model's scale if it has one."""
        if self.model.bank is None:
            return None

        raw = compute_intensity(embeddings, self.neutral, self.model.bank).cpu().double().numpy()
        scale = self.settings.intensity
        if scale is None or not self.has_scale:
            return raw
        return scale.apply(raw, self.model.classes, neutral_photo=self.neutral is not None)

    @torch.inference_mode()
    def _forward(self, crops: Sequence[np.ndarray]) -> KE2NTOutput:
        # (B, 3, S, S) uint8
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return self.model(self.model.preprocessing(pixels.to(self.device)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: those of torch would wait for each other in a loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
