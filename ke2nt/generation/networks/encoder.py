"""The identity encoder: from a face to its latent code."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["STAGES", "IdentityEncoder", "build_downsampling"]

STAGES = 4  # each halves the side, so image sizes are multiples of 16


def build_downsampling(
    channels: int, image_size: int, width: int, activation: nn.Module
) -> tuple[list[nn.Module], int]:
    """Build strided convolutions with batch norm; each halves the side and doubles the channels.

    Args:
        channels: Channels of the image.
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution.
        activation: After each convolution; it has no parameters.

    Returns:
        The layers, and the number of values of one image after them.
    """
    layers: list[nn.Module] = []
    in_channels = channels
    for stage in range(STAGES):
        out_channels = width * 2**stage
        conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(out_channels), activation]
        in_channels = out_channels

    # flattened size of the smallest maps
    side = image_size // 2**STAGES
    return layers, in_channels * side**2


class IdentityEncoder(nn.Module):
    """Four strided convolutions, a linear layer and tanh.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        code_dim: Dimension of a latent code.
    """

    def __init__(self, channels: int, image_size: int, width: int, code_dim: int) -> None:
        super().__init__()
        activation = nn.LeakyReLU(0.2, inplace=True)
        layers, features = build_downsampling(channels, image_size, width, activation)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(features, code_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Encode (B, C, S, S) images in [−1, 1] as (B, code_dim) codes in (−1, 1)."""
        return self.code(self.body(images)).tanh()
