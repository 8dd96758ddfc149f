"""Several stages of an image encoder: their maps, attended and pooled, and their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ke2nt.errors import ModelError
from ke2nt.models.attention import AttentionBlock
from ke2nt.models.backbones import Backbone
from ke2nt.models.stage_options import StageOptions

__all__ = ["Fusion", "StageBranch", "StageFeatures", "StageMaps"]


class StageFeatures(NamedTuple):
    """Features of the stages of an encoder for B images, shallow to deep.

    Attributes:
        pooled: (B, C_i) of each stage; a single one for a plain encoder.
        attention: (B, h_i, w_i) spatial weights of each stage; empty without spatial attention.
    """

    pooled: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]


class StageMaps(Backbone):
    """An image encoder that gives the feature maps of its deepest stages.

    The stages of a family are those that timm names (`feature_info`, `forward_intermediates`);
    layers behind the last stage are removed. A family with one resolution (ViT) has as many stages
    as blocks, of which evenly spaced ones are used, the last one included.

    Args:
        backbone: The encoder; its network is changed and becomes part of this one.
        count: Number of stages.
        image_size: Side of the square input in pixels.

    Attributes:
        widths: Channels of each map, shallow to deep; `width` is the deepest one's.
        layered: Whether the family normalizes by layer; such maps come before any normalization.

    Raises:
        ModelError: The family does not name its stages, or has fewer.
    """

    def __init__(self, backbone: Backbone, count: int, image_size: int) -> None:
        net: Any = backbone.net
        if not hasattr(net, "forward_intermediates") or not hasattr(net, "feature_info"):
            raise ModelError(
                "this backbone does not give the feature maps of its stages",
                expected="a timm model with forward_intermediates or an image tower, "
                "for model.attention",
                found=type(net).__name__,
            )
        super().__init__(net, backbone.width, backbone.image_size, backbone.tower)

        # layers behind the last stage would get no gradient
        self._indices = _stage_indices([info["reduction"] for info in net.feature_info], count)
        net.prune_intermediate_layers(self._indices, prune_norm=True, prune_head=True)
        self.layered = any(isinstance(module, nn.LayerNorm) for module in net.modules())

        # a forward pass tells the widths, and must leave batch statistics unchanged
        training = net.training
        net.eval()
        with torch.no_grad():
            maps = self.maps(torch.zeros(1, 3, image_size, image_size))
        net.train(training)
        self.widths = tuple(m.shape[1] for m in maps)
        self.width = self.widths[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalized images → (B, C_i, h_i, w_i) of each stage, shallow to deep."""
        net: Any = self.net
        return net.forward_intermediates(
            images, indices=self._indices, norm=False, output_fmt="NCHW", intermediates_only=True
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized images → (B, width) pooled features of the deepest stage."""
        return self.maps(images)[-1].mean(dim=(2, 3))


def _stage_indices(reductions: Sequence[int], count: int) -> list[int]:
    """Indices of the stages to use, ascending.

    Args:
        reductions: Input pixels per cell along a side, for each stage.
        count: How many stages.
    """
    stages = len(reductions)
    if count > stages:
        raise ModelError(
            "the backbone has too few stages for the requested heads",
            expected=f"model.attention.stages of at most {stages}",
            found=count,
        )

    # evenly spaced blocks of a ViT; else the deepest stages
    if len(set(reductions)) == 1:
        return [stages * (i + 1) // count - 1 for i in range(count)]
    return list(range(stages - count, stages))


class StageBranch(nn.Module):
    """One stage's map → attended, pooled features.

    Args:
        channels: Channels of the map.
        options: Kind and size of the attention.
        normalize: Normalize the channels of each position first, for families that normalize by
            layer.
    """

    def __init__(self, channels: int, options: StageOptions, *, normalize: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels) if normalize else None
        self.attention = AttentionBlock(
            channels, options.block, reduction=options.reduction, kernel=options.kernel
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, h, w) → (B, C), and the spatial weights (B, h, w) or None."""
        # LayerNorm expects the channels last
        if self.norm is not None:
            maps = self.norm(maps.movedim(1, -1)).movedim(-1, 1)
        maps, spatial_weights = self.attention(maps)
        return maps.mean(dim=(2, 3)), spatial_weights


class Fusion(nn.Module):
    """Σ_i w_i x_i over the stages, w_i ≥ 0 with sum 1.

    Args:
        options: Number of stages; learned weights (a softmax, equal at first) or constant ones;
            what is averaged.

    Attributes:
        average: What the model averages: "directions", "logits" or "probabilities"; None for the
            default of its head.
    """

    fixed: Tensor

    def __init__(self, options: StageOptions) -> None:
        super().__init__()
        learned = options.fusion == "learned"
        self.scores = nn.Parameter(torch.zeros(options.stages)) if learned else None
        doubling = options.fusion == "doubling"
        default = [2.0**i if doubling else 1.0 for i in range(options.stages)]
        fixed = torch.tensor(options.fusion_weights or default)
        self.register_buffer("fixed", fixed / fixed.sum(), persistent=False)
        self.average = options.average

    @property
    def weights(self) -> Tensor:
        """(S,) weights, shallow to deep."""
        return self.fixed if self.scores is None else self.scores.softmax(dim=0)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """S tensors of one shape → their weighted sum."""
        weights = self.weights.to(stages[0].dtype)
        # (…, S) @ (S,)
        return torch.stack(list(stages), dim=-1) @ weights

    def fuse_logits(self, stages: Sequence[Tensor]) -> Tensor:
        """Fuse S tensors (B, K) of logits by averaging them or their probabilities.

        Returns:
            (B, K) logits. Averaged probabilities come as their logarithms, whose softmax they are.
        """
        if self.average != "probabilities":
            return self(stages)

        # log Σ_i w_i p_i, from logarithms, which cannot underflow
        log_weights = self.weights.to(stages[0].dtype).log()
        log_probabilities = torch.stack([stage.log_softmax(dim=1) for stage in stages], dim=-1)
        return (log_probabilities + log_weights).logsumexp(dim=-1)
