"""IResNet, the ResNet of face recognition, under the names of InsightFace's weights files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ke2nt.errors import ModelError

__all__ = ["IRESNETS", "IBasicBlock", "IResNet"]

IRESNETS: Mapping[str, tuple[int, int, int, int]] = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
"""Name → blocks of each stage."""

_STRIDE = 16  # input pixels per cell of the last feature map


class IResNet(nn.Module):
    """Faces (B, 3, H, H) in [-1, 1] → embeddings (B, embedding).

    The residual network of ArcFace (https://arxiv.org/abs/1801.07698, section 3.2): the first
    convolution keeps the resolution, a block normalizes before its first convolution, and a linear
    layer reads the whole last map.

    Args:
        blocks: Blocks of each of the four stages.
        image_size: Side H of the square input in pixels; weights files are made for 112.
        in_chans: Channels of the input.
        width: Channels of the first stage; each stage doubles them.
        embedding: Width of the output.

    Attributes:
        pretrained_cfg: Mean and standard deviation that the weights expect, as in timm's models.

    Raises:
        ModelError: The image is smaller than one cell of the last map.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        image_size: int,
        in_chans: int = 3,
        width: int = 64,
        embedding: int = 512,
    ) -> None:
        super().__init__()
        if image_size < _STRIDE:
            raise ModelError("the image is too small", expected=f"{_STRIDE} px", found=image_size)
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)

        channels = width
        for stage, count in enumerate(blocks):
            out = width * 2**stage
            layers = [IBasicBlock(channels, out, stride=2)]
            layers += [IBasicBlock(out, out, stride=1) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
            channels = out

        # each stage halves the side, rounding up
        side = -(-image_size // _STRIDE)
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * side * side, embedding)
        self.features = nn.BatchNorm1d(embedding)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, H) → (B, embedding)."""
        maps = self.prelu(self.bn1(self.conv1(images)))
        for stage in range(1, 5):
            maps = self.get_submodule(f"layer{stage}")(maps)
        return self.features(self.fc(self.bn2(maps).flatten(1)))


class IBasicBlock(nn.Module):
    """Norm, conv, norm, PReLU, conv of a stride, norm; plus the input.

    Args:
        channels: Channels of the input.
        out: Channels of the output.
        stride: 2 halves the side.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.prelu = nn.PReLU(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)

        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, h, w) → (B, out, h / stride, w / stride)."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        inner = self.prelu(self.bn2(self.conv1(self.bn1(maps))))
        return self.bn3(self.conv2(inner)) + shortcut
