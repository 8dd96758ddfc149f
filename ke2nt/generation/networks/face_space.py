"""dlib's face descriptors, a space made for telling people apart."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.generation.networks.pixels import to_model_input
from ke2nt.models.dlib_resnet import DLIB_MEAN, DLIB_STD
from ke2nt.models.face_weights import load_face_network

__all__ = ["FaceSpace"]

_SIDE = 150


class FaceSpace(nn.Module):
    """Descriptors of generated faces; gradients reach the images but not the network.

    Raises:
        MissingExtraError: The extra `faces` is not installed.
        CheckpointError: Its file is not the known one.
    """

    def __init__(self) -> None:
        super().__init__()
        # a copy, as the network is shared and would move to another device
        self.net = copy.deepcopy(load_face_network()).requires_grad_(False)
        self._preprocessing = Preprocessing(_SIDE, DLIB_MEAN, DLIB_STD)

    def train(self, mode: bool = True) -> FaceSpace:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, S, S) images in [−1, 1] to (B, 128) descriptors."""
        return self.net(to_model_input(images, self._preprocessing))
