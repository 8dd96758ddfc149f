"""The critics: of images, of expressions, and of identity codes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from ke2nt.generation.networks.encoder import STAGES, halvings

__all__ = ["CodeCritic", "CodeVerdict", "ExpressionNet", "ImageCritic", "Verdict"]


class Verdict(NamedTuple):
    """What the image critic says.

    Attributes:
        scores: (B,), higher for what looks real.
        expressions: (B, K) logits.
    """

    scores: Tensor
    expressions: Tensor


class ImageCritic(nn.Module):
    """Four strided convolutions and two linear heads; no normalization over the batch.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        classes: K expressions.
        spectral_norm: Keep the largest singular value of every weight of body and score at 1.
    """

    def __init__(
        self, channels: int, image_size: int, width: int, classes: int, *, spectral_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for stage in range(STAGES):
            after = width * 2**stage
            conv: nn.Module = nn.Conv2d(before, after, 3, stride=2, padding=1)
            layers += [with_spectral_norm(conv) if spectral_norm else conv, nn.LeakyReLU(0.2)]
            before = after
        side = image_size // 2**STAGES
        score: nn.Module = nn.Linear(before * side**2, 1)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.score = with_spectral_norm(score) if spectral_norm else score
        self.expression = nn.Linear(before * side**2, classes)

    def forward(self, images: Tensor) -> Verdict:
        """(B, C, S, S) images in [−1, 1] → scores and expression logits."""
        features = self.body(images)
        return Verdict(self.score(features).squeeze(1), self.expression(features))


class ExpressionNet(nn.Module):
    """Names expressions in place of the image critic's head; with batch norm it learns faster.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        classes: K expressions.
    """

    def __init__(self, channels: int, image_size: int, width: int, classes: int) -> None:
        super().__init__()
        layers, features = halvings(channels, image_size, width, nn.ReLU())
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) images in [−1, 1] → (B, K) logits."""
        return self.net(images)


class CodeVerdict(NamedTuple):
    """What the code critic says.

    Attributes:
        scores: (B,) logits, higher for the prior.
        expressions: (B, K) logits: which expression had the face that the code was made from?
    """

    scores: Tensor
    expressions: Tensor


class CodeCritic(nn.Module):
    """A small MLP: does a code come from the prior or the encoder, and what does it still tell?

    Args:
        code_dim: Values of a code.
        classes: K expressions.
    """

    def __init__(self, code_dim: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(code_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2)
        )
        self.score = nn.Linear(64, 1)
        self.expression = nn.Linear(64, classes)

    def forward(self, codes: Tensor) -> CodeVerdict:
        """(B, code_dim) codes → scores and expression logits."""
        features = self.body(codes)
        return CodeVerdict(self.score(features).squeeze(1), self.expression(features))
