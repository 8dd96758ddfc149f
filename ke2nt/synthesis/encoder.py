"""From a face to the code of its identity."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["STAGES", "IdentityEncoder"]

STAGES = 4  # each halves the side, so sides are multiples of 16


class IdentityEncoder(nn.Module):
    """Four strided convolutions, then a linear map and tanh.

    Args:
        channels: 1 (grey) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        code_dim: Values of a code.
    """

    def __init__(self, channels: int, image_size: int, width: int, code_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for stage in range(STAGES):
            after = width * 2**stage
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            before = after
        side = image_size // 2**STAGES
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(before * side**2, code_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) images in [−1, 1] → (B, code_dim) codes in (−1, 1)."""
        return self.code(self.body(images)).tanh()
