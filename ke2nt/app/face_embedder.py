"""Faces of a picture, embedded once: as they are, and with each region covered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.images import decode
from ke2nt.explain.occlusion import GRID, cover_regions
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.detections import Detector
from ke2nt.predict.pipeline import find_faces

__all__ = ["MOST_FACES", "FaceEmbedder", "EmbeddedFace"]

MOST_FACES = 4
_BATCH = 64


@dataclass(frozen=True, eq=False)
class EmbeddedFace:
    """What a model makes of a face before any word is known.

    Attributes:
        crop: uint8 (S, S, 3), as the model sees it.
        output: Of 1 + G² inputs on the CPU: the face, then its copies with a region covered.
    """

    crop: np.ndarray
    output: KE2NTOutput


class FaceEmbedder:
    """Embeds the faces of pictures.

    Args:
        model: A recognizer; moved to the device and put in evaluation mode.
        detector: Finds the faces; None where every picture is one.
        device: Where to compute.
    """

    def __init__(
        self, model: ExpressionModel, *, detector: Detector | None, device: torch.device | str
    ) -> None:
        self.detector = detector
        self._classifier = FaceClassifier(model, device=torch.device(device), batch_size=_BATCH)

    def read(self, picture: Path | np.ndarray, *, find: bool) -> tuple[list[EmbeddedFace], int]:
        """The largest faces of a picture.

        Args:
            picture: An image file, or uint8 RGB pixels.
            find: Whether to look for faces; else the whole picture is taken as one.

        Returns:
            At most `MOST_FACES`, from left to right, and how many were left out.

        Raises:
            ImageReadError: The picture cannot be decoded.
        """
        pixels = decode(picture)
        found = find_faces(pixels, self.detector if find else None, self._classifier)
        largest = sorted(found, key=lambda face: face.box[0] - face.box[2])[:MOST_FACES]
        chosen = sorted(largest, key=lambda face: face.box)
        return [self._embed(face.crop) for face in chosen], len(found) - len(chosen)

    @torch.inference_mode()
    def _embed(self, crop: np.ndarray) -> EmbeddedFace:
        model, device = self._classifier.model, self._classifier.device
        inputs = np.concatenate([crop[None], cover_regions(crop, GRID)])
        pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        outputs = [
            model(model.preprocessing.normalize(batch.to(device))) for batch in pixels.split(_BATCH)
        ]
        neutral = [o.neutral_embeddings for o in outputs if o.neutral_embeddings is not None]
        return EmbeddedFace(
            crop,
            KE2NTOutput(
                logits=_join([o.logits for o in outputs]),
                embeddings=_join([o.embeddings for o in outputs]),
                neutral_embeddings=_join(neutral) if neutral else None,
            ),
        )


def _join(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).float().cpu()
