"""dlib's face network: 29 convolutions, trained on about three million faces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.checkpoints.dlib_file import DlibFace, FoldedConv

__all__ = [
    "DLIB_BLOCKS",
    "DLIB_MEAN",
    "DLIB_STD",
    "DlibBlock",
    "DlibResNet",
    "smallest_image",
    "unfold_affine_layers",
]

# (pixel − mean) / 256, with pixels of 0 to 255, as mean and std of pixels in [0, 1]
DLIB_MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
DLIB_STD = (256 / 255, 256 / 255, 256 / 255)

_DESCRIPTOR = 128

# channels of each block, and whether it halves the resolution
_BLOCKS = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)

DLIB_BLOCKS = len(_BLOCKS)


def smallest_image(blocks: int = DLIB_BLOCKS) -> int:
    """Return the side in pixels below which the first `blocks` blocks run out of pixels."""
    # from the last map, of one pixel, back: a halving block needs 3 pixels and leaves half of them
    side = 1
    for _, halves in reversed(_BLOCKS[:blocks]):
        side = max(3, 2 * side) if halves else side

    # a pooling of 3 pixels and a convolution of 7, both with a stride of 2 and no padding
    pooled = 2 * (side - 1) + 3
    return 2 * (pooled - 1) + 7


class DlibResNet(nn.Module):
    """Faces (B, 3, H, H), normalized by `DLIB_MEAN` and `DLIB_STD` → features (B, 256).

    The ResNet of `dlib_face_recognition_resnet_model_v1.dat`, with batch normalization in place of
    the affine layers that its file has. Its weights were trained at 150 px.

    Args:
        in_chans: Channels of the input.
        descriptor: Add the last matrix: the output is dlib's descriptor (B, 128).
        blocks: How many of the 14 blocks to have, from the first: fewer make a smaller network.

    Attributes:
        pretrained_cfg: Mean and standard deviation that the weights expect, as in timm's models.
        is_part: Whether blocks are left out, so that a file of weights holds more.
    """

    def __init__(
        self, in_chans: int = 3, *, descriptor: bool = False, blocks: int = DLIB_BLOCKS
    ) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": DLIB_MEAN, "std": DLIB_STD}
        self.is_part = blocks < DLIB_BLOCKS

        channels = _BLOCKS[0][0]
        self.conv1 = nn.Conv2d(in_chans, channels, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2)
        self.blocks = nn.Sequential()
        for out, halves in _BLOCKS[:blocks]:
            self.blocks.append(DlibBlock(channels, out, halves=halves))
            channels = out
        self.fc = nn.Linear(channels, _DESCRIPTOR, bias=False) if descriptor else None

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, H) → (B, 256) pooled features, or (B, 128) descriptors."""
        maps = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        pooled = self.blocks(maps).mean(dim=(2, 3))
        return pooled if self.fc is None else self.fc(pooled)

    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Every convolution with its normalization, in the order of the network."""
        pairs = [(self.conv1, self.bn1)]
        for block in self.blocks:
            assert isinstance(block, DlibBlock)
            pairs += [(block.conv1, block.bn1), (block.conv2, block.bn2)]
        return pairs


class DlibBlock(nn.Module):
    """Conv, norm, ReLU, conv, norm; plus the input, which is averaged where the block halves.

    The two maps may differ in size and channels; what one lacks counts as zero.

    Args:
        channels: Channels of the input.
        out: Channels of the output.
        halves: Whether the first convolution has a stride of 2, and no padding.
    """

    def __init__(self, channels: int, out: int, *, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.AvgPool2d(2, stride=2) if halves else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, h, w) → (B, out, h', w')."""
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(maps)))))
        shortcut = self.shortcut(maps)
        if inner.shape == shortcut.shape:
            return functional.relu(inner + shortcut)

        # zeros at the end of each axis
        shape = [max(sizes) for sizes in zip(inner.shape, shortcut.shape, strict=True)]
        return functional.relu(_extended(inner, shape) + _extended(shortcut, shape))


def _extended(maps: Tensor, shape: Sequence[int]) -> Tensor:
    padding = [p for have, want in zip(maps.shape, shape, strict=True) for p in (want - have, 0)]
    return functional.pad(maps, padding[::-1])


@torch.no_grad()
def unfold_affine_layers(face: DlibFace, images: Tensor) -> DlibResNet:
    """Build the network with batch normalization whose statistics are those of some faces.

    In evaluation mode the output is that of the affine layers y = scale · (conv(x) + bias) + shift:
    with the measured mean μ and variance σ² of conv(x), the weight is scale · √(σ² + ε) and the
    bias shift + scale · (bias + μ).

    Args:
        face: Weights from dlib's file.
        images: (B, 3, H, H) normalized faces.

    Returns:
        The network with its last matrix, in evaluation mode.
    """
    net = DlibResNet(descriptor=True).eval()
    assert net.fc is not None
    net.fc.weight.copy_(torch.tensor(face.matrix.T))
    for (conv, norm), folded in zip(net.pairs(), face.convolutions, strict=True):
        conv.weight.copy_(torch.tensor(folded.weight))
        _set_statistics(norm, folded, torch.zeros(norm.num_features), 1 - norm.eps)

    # measured in one pass, as the output does not depend on the statistics
    measured: dict[nn.Module, Tensor] = {}
    hooks = [
        conv.register_forward_hook(lambda module, _, out: measured.update({module: out}))
        for conv, _ in net.pairs()
    ]
    net(images)
    for hook in hooks:
        hook.remove()

    for (conv, norm), folded in zip(net.pairs(), face.convolutions, strict=True):
        variance, mean = torch.var_mean(measured[conv].double(), dim=(0, 2, 3), correction=0)
        _set_statistics(norm, folded, mean, variance)
    return net


def _set_statistics(
    norm: nn.BatchNorm2d, folded: FoldedConv, mean: Tensor, variance: Tensor | float
) -> None:
    """Give a normalization statistics (C,), and the weights that keep its output."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    bias, scale, shift = (torch.tensor(value).double() for value in folded[1:])
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(torch.as_tensor(variance))

    # from the rounded statistics, so that the output is exact
    norm.weight.copy_(scale * (norm.running_var.double() + norm.eps).sqrt())
    norm.bias.copy_(shift + scale * (bias + norm.running_mean.double()))
