"""The critics of images, expressions and latent codes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as apply_spectral_norm

from ke2nt.generation.networks.encoder import STAGES, build_downsampling

__all__ = ["CodeCritic", "CriticOutput", "Critics", "ExpressionClassifier", "ImageCritic"]


class CriticOutput(NamedTuple):
    """Output of the image critic or the code critic.

    Attributes:
        scores: (B,), higher for real images, or for codes from the prior.
        expressions: (B, K) logits of the expression.
    """

    scores: Tensor
    expressions: Tensor


class ImageCritic(nn.Module):
    """Four strided convolutions and two linear heads, without batch normalization.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        classes: K expressions.
        spectral_norm: Normalize the weights of body and score to a largest singular value of 1.
    """

    def __init__(
        self, channels: int, image_size: int, width: int, classes: int, *, spectral_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = channels
        for stage in range(STAGES):
            out_channels = width * 2**stage
            conv: nn.Module = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
            layers += [apply_spectral_norm(conv) if spectral_norm else conv, nn.LeakyReLU(0.2)]
            in_channels = out_channels

        # the expression head is a classifier: its weights are not normalized
        features = in_channels * (image_size // 2**STAGES) ** 2
        score: nn.Module = nn.Linear(features, 1)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.score = apply_spectral_norm(score) if spectral_norm else score
        self.expression = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> CriticOutput:
        """Score (B, C, S, S) images in [−1, 1] and classify their expressions."""
        features = self.body(images)
        return CriticOutput(self.score(features).squeeze(1), self.expression(features))


class ExpressionClassifier(nn.Module):
    """Classifies expressions in place of the image critic's head; batch norm makes it learn faster.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: Channels of the first convolution; each further one has twice as many.
        classes: K expressions.
    """

    def __init__(self, channels: int, image_size: int, width: int, classes: int) -> None:
        super().__init__()
        layers, features = build_downsampling(channels, image_size, width, nn.ReLU())
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Classify (B, C, S, S) images in [−1, 1]: (B, K) logits."""
        return self.net(images)


class CodeCritic(nn.Module):
    """A small MLP: is a latent code from the prior, and which expression does it reveal?

    Args:
        code_dim: Dimension of a latent code.
        classes: K expressions.
    """

    def __init__(self, code_dim: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(code_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2)
        )
        self.score = nn.Linear(64, 1)
        self.expression = nn.Linear(64, classes)

    def forward(self, codes: Tensor) -> CriticOutput:
        """Score (B, code_dim) codes and classify the expression of the encoded face."""
        features = self.body(codes)
        return CriticOutput(self.score(features).squeeze(1), self.expression(features))


class Critics(nn.Module):
    """All critics of a GAN.

    Args:
        image: Scores images and classifies their expressions.
        code: Scores latent codes.
        expression: Classifies expressions in place of the image critic, or None.
    """

    def __init__(
        self, image: ImageCritic, code: CodeCritic, expression: ExpressionClassifier | None
    ) -> None:
        super().__init__()
        self.image = image
        self.code = code
        self.expression = expression
