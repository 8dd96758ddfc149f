"""Image encoders by name, behind one small interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.sample import ImageSource

__all__ = ["ImageEncoder", "Tower"]


class Tower(ABC):
    """A loaded image tower on some device.

    Attributes:
        logit_scale: Factor on cosine similarities that the model was trained with.
        device: Where it computes.
    """

    logit_scale: float
    device: torch.device

    @abstractmethod
    def __call__(self, pixels: Tensor) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W) on the tower's device: (B, D), any norm."""


class ImageEncoder(ABC):
    """A frozen model that embeds images. Nothing is loaded before `load`.

    Attributes:
        id: Name in keys and messages, without the folder it lies in.
        text_encoder: Name of the text encoder that shares its space.
        trained_classes: Classes that a model of this project was trained on, or None.
    """

    id: str
    text_encoder: str
    trained_classes: tuple[str, ...] | None = None

    @abstractmethod
    def weights(self) -> str:
        """Digest of the image side, without loading the model."""

    @abstractmethod
    def text_weights(self) -> str | None:
        """Digest of the text encoder that shares its space, or None where that is not known."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """From pixels to the input, as plain JSON.

        Raises:
            ModelError: It does not fit the image tower.
        """

    @abstractmethod
    def read(self, source: ImageSource) -> np.ndarray:
        """One image, decoded, resized and cropped: uint8 (3, H, W). Called from several threads.

        Raises:
            ImageReadError: The image cannot be decoded.
        """

    @abstractmethod
    def load(self, device: torch.device) -> Tower:
        """The image tower on a device."""
