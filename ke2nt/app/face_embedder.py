"""Faces of an image, embedded once: unchanged, and with each region covered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.images import decode
from ke2nt.explain.heat import forward_faces
from ke2nt.explain.occlusion import GRID, cover_regions
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.detections import Box, Detector
from ke2nt.predict.found_faces import FoundFace, find_faces

__all__ = ["MAX_FACES", "EmbeddedFace", "FaceEmbedder"]

MAX_FACES = 12
"""Most faces of an image that are embedded, with all their covered copies."""

_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class EmbeddedFace:
    """The model's output for a face, before any words are known.

    Attributes:
        box: Face in pixels of the image.
        crop: uint8 (S, S, 3), the input of the model.
        problems: Why it can hardly be seen: "dark", "small", "blurred"; or nothing.
        output: Of 1 + G² inputs, on the CPU: the face, then its copies with one region covered.
    """

    box: Box
    crop: np.ndarray
    problems: tuple[str, ...]
    output: KE2NTOutput


class FaceEmbedder:
    """Finds and embeds the faces of images.

    Args:
        model: A recognizer; it is moved to the device and put in evaluation mode.
        detector: Finds the faces; None to take every image as one face.
        device: Where to compute.
    """

    def __init__(
        self, model: ExpressionModel, *, detector: Detector | None, device: torch.device | str
    ) -> None:
        self.detector = detector
        self._classifier = FaceClassifier(
            model, device=torch.device(device), batch_size=_BATCH_SIZE
        )

    def embed(self, image: Path | np.ndarray, *, find: bool) -> tuple[list[EmbeddedFace], int]:
        """Embed the largest faces of an image.

        Args:
            image: An image file, or uint8 RGB pixels.
            find: Whether to find faces; else the whole image is taken as one.

        Returns:
            At most `MAX_FACES` from left to right, and the number of faces left out.

        Raises:
            ImageReadError: The image cannot be decoded.
        """
        detector = self.detector if find else None
        faces = find_faces(decode(image), detector, self._classifier)

        # by width, as `sorted` keeps faces of the same width from left to right
        largest = sorted(faces, key=lambda face: face.box[0] - face.box[2])[:MAX_FACES]
        left_to_right = sorted(largest, key=lambda face: face.box)
        embedded = [self._embed_face(face) for face in left_to_right]
        return embedded, len(faces) - len(embedded)

    @torch.inference_mode()
    def _embed_face(self, face: FoundFace) -> EmbeddedFace:
        # (1 + G², S, S, 3)
        inputs = np.concatenate([face.crop[None], cover_regions(face.crop, GRID)])
        outputs = [
            forward_faces(self._classifier.model, inputs[start : start + _BATCH_SIZE])
            for start in range(0, len(inputs), _BATCH_SIZE)
        ]

        neutral = [
            output.neutral_embeddings for output in outputs if output.neutral_embeddings is not None
        ]
        output = KE2NTOutput(
            logits=_concatenate([output.logits for output in outputs]),
            embeddings=_concatenate([output.embeddings for output in outputs]),
            neutral_embeddings=_concatenate(neutral) if neutral else None,
        )
        return EmbeddedFace(face.box, face.crop, face.quality.problems, output)


def _concatenate(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).float().cpu()
