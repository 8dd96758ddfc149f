"""From a face to the code of its identity."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["STAGES", "IdentityEncoder", "halvings"]

STAGES = 4  # each halves the side, so sides are multiples of 16


def halvings(
    channels: int, image_size: int, width: int, activation: nn.Module
) -> tuple[list[nn.Module], int]:
    """Strided convolutions with batch norm, each halving the side and doubling the channels.

    Args:
        channels: Of the image.
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution.
        activation: Without parameters; behind each.

    Returns:
        The layers, and how many values one image has behind them.
    """
    layers: list[nn.Module] = []
    for stage in range(STAGES):
        before = channels if stage == 0 else width * 2 ** (stage - 1)
        after = width * 2**stage
        conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(after), activation]
    return layers, width * 2 ** (STAGES - 1) * (image_size // 2**STAGES) ** 2


class IdentityEncoder(nn.Module):
    """Four strided convolutions, then a linear map and tanh.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        code_dim: Values of a code.
    """

    def __init__(self, channels: int, image_size: int, width: int, code_dim: int) -> None:
        super().__init__()
        layers, features = halvings(channels, image_size, width, nn.LeakyReLU(0.2, inplace=True))
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(features, code_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) images in [−1, 1] → (B, code_dim) codes in (−1, 1)."""
        return self.code(self.body(images)).tanh()
