"""Image encoders: images → pooled features, from timm, another package, or a given module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ke2nt.errors import ModelError
from ke2nt.models.backbone_names import check_backbone_name, is_tower_name
from ke2nt.models.custom_backbones import build_custom_backbone, is_custom_name
from ke2nt.models.face_networks import FACE_NETWORKS, build_face_network
from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.regions import CornerBranches, corner_means, feature_map
from ke2nt.models.timm_models import Stem, build_timm_model, timm_depths
from ke2nt.models.tower_backbones import load_tower
from ke2nt.runtime.formatting import first_line
from ke2nt.vlm.image_tower import TowerFacts

__all__ = ["DEFAULT_IMAGE_SIZE", "Backbone", "RegionalBackbone", "Regions", "create_backbone"]

Regions = Literal["learned", "mean"]

DEFAULT_IMAGE_SIZE = 112
"""Side of the input in pixels, unless the encoder has its own."""


class Backbone(nn.Module):
    """An image encoder without its classifier.

    Args:
        net: The network, pooled, without a head.
        width: Width of its features.
        image_size: Side of its input in pixels.
        tower: What the image tower of a vision-language model is built from; None for others.

    Attributes:
        width: Width of the features.
        image_size: Side of the input in pixels.
        tower: As given; None for other encoders.
        mean: Per-channel mean that the pretrained weights expect, or None if it is not known.
        std: Likewise the standard deviation.
    """

    net: Any

    def __init__(
        self,
        net: nn.Module,
        width: int,
        image_size: int = DEFAULT_IMAGE_SIZE,
        tower: TowerFacts | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.width = width
        self.image_size = image_size
        self.tower = tower
        pretrained = getattr(net, "pretrained_cfg", None) or {}
        self.mean: tuple[float, float, float] | None = pretrained.get("mean")
        self.std: tuple[float, float, float] | None = pretrained.get("std")

    def layer_depths(self) -> dict[str, int]:
        """Parameter name → layers between it and the features, 1 for the last ones.

        Raises:
            ModelError: The layers of this family are not known.
        """
        # timm knows more families than the structure shows
        depths = timm_depths(self.net)
        groups = find_layer_groups(self.net)
        if depths is None and groups.blocks:
            depths = groups.depths()
        if depths is None:
            raise ModelError(
                "optim.layer_decay does not support this backbone, whose layers are not known",
                found=type(self.net).__name__,
            )
        return {f"net.{name}": depth for name, depth in depths.items()}

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalized images → (B, width) pooled features."""
        return self.net(images)


class RegionalBackbone(Backbone):
    """An encoder that gives the pooled features of the whole face and of its four corners.

    The corners overlap, 5 × 5 of a 7 × 7 feature map, as in DMSRL (IEEE TMM 25:1359, 2022).

    Args:
        net: A timm network, pooled, without a head.
        width: Width of all features together.
        image_size: Side of its input in pixels.
        channels: Channels of the last feature map, to learn a branch for each corner; None for the
            means of the corners.
    """

    def __init__(
        self, net: nn.Module, width: int, image_size: int, channels: int | None = None
    ) -> None:
        super().__init__(net, width, image_size)
        self.corners = None if channels is None else CornerBranches(channels)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalized images → (B, width): the whole, then the corners."""
        features = self.net.forward_features(images)
        cells = self.cells(features)
        local = corner_means(cells) if self.corners is None else self.corners(cells)
        return torch.cat([self.net.forward_head(features), local], dim=1)

    def cells(self, features: Tensor) -> Tensor:
        """Unpooled features → (B, C, h, w), whatever layout the family has."""
        return feature_map(
            features,
            channels_last=getattr(self.net, "output_fmt", "NCHW") == "NHWC",
            prefix=getattr(self.net, "num_prefix_tokens", 0),
        )


def create_backbone(
    source: str | nn.Module,
    /,
    *,
    image_size: int | None = None,
    in_chans: int = 3,
    stem: Stem = "standard",
    drop_path: float | None = None,
    pretrained: bool = False,
    regions: Regions | bool = False,
    tower: Mapping[str, Any] | None = None,
    **options: Any,
) -> Backbone:
    """Build an image encoder.

    The alias "swin_t" is Swin-T with patch 2 (dim 96, depths 2-2-6-2), window 7 at 112 px as in
    KE2NT; at other sizes, a window that divides every stage's grid, if there is one.

    Args:
        source: A timm model name ("resnet18", "convnext_atto") or alias; a network of face
            recognition ("iresnet50", as InsightFace names it); the dotted path of a class
            derived from `nn.Module`, or of a function annotated to return one
            ("package.module.Net"); or a module. The last two map images to pooled features
            (B, width). "open_clip:ARCH/TAG-or-path" and "transformers:ID-or-folder" are the image
            tower of a vision-language model with its projection and its weights.
        image_size: Side of the square input in pixels; passed to families that are built for one
            size (ViT, Swin), and checked by a forward pass for all. None for 112, or the size of
            an image tower; for another one its position embeddings are interpolated.
        in_chans: Channels of the input.
        stem: "standard"; for the ResNet family also "no_pool" (without the first max-pool) and
            "small" (3×3 first convolution of stride 1, no max-pool), both for small images.
        drop_path: Rate of stochastic depth, None for the family's default.
        pretrained: Load timm's weights from the hub or its local cache.
        regions: Append features of four overlapping corners of the last feature map: "learned"
            for a branch of convolutions for each, as in DMSRL; "mean", or True, for their means.
        tower: What a saved model stored of its image tower, which is then built with random
            weights, without the files it came from.
        **options: Further arguments of the timm model, such as window_size, or of the class.

    Returns:
        The encoder, in training mode.

    Raises:
        ModelError: The name is unknown, an option is not accepted, or the size does not fit.
        CheckpointError: The pretrained weights are not available.
        TextEncoderError: There is no such vision-language model, or its weights are not available.
    """
    name = source if isinstance(source, str) else type(source).__name__
    if regions not in (*get_args(Regions), True, False):
        raise ModelError(
            "invalid regions of the backbone",
            expected=f"{', '.join(get_args(Regions))}, true or false",
            found=regions,
        )

    # options of timm models would be ignored by any other network, so they are refused
    if isinstance(source, str) and is_tower_name(source):
        _check_plain(name, stem=stem, drop_path=drop_path, pretrained=pretrained, regions=regions)
        return _build_from_tower(source, image_size, tower, options)

    image_size = DEFAULT_IMAGE_SIZE if image_size is None else image_size
    if isinstance(source, str) and source in FACE_NETWORKS:
        _check_plain(name, stem=stem, drop_path=drop_path, pretrained=pretrained, regions=regions)
        net = build_face_network(source, image_size=image_size, in_chans=in_chans, options=options)
    elif isinstance(source, str) and not is_custom_name(source):
        net = _build_from_timm(
            source,
            image_size=image_size,
            in_chans=in_chans,
            stem=stem,
            drop_path=drop_path,
            pretrained=pretrained,
            options=options,
        )
    else:
        _check_plain(name, stem=stem, drop_path=drop_path, pretrained=pretrained, regions=regions)
        net = _build_from_elsewhere(source, image_size, options)

    # with regions, the width is that of the whole face and its corners together
    if not regions:
        return Backbone(net, _measure_width(net, name, image_size, in_chans), image_size)
    backbone = RegionalBackbone(net, 0, image_size)
    if regions == "learned":
        channels = _measure_channels(backbone, image_size, in_chans)
        backbone = RegionalBackbone(net, 0, image_size, channels)
    backbone.width = _measure_width(backbone, name, image_size, in_chans)
    return backbone


def _build_from_tower(
    source: str,
    image_size: int | None,
    stored: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Backbone:
    """The image tower of a vision-language model: fresh from its files, or as a model stored it."""
    if options:
        raise ModelError(f"backbone {source!r} takes no options", found=", ".join(sorted(options)))
    net, facts = load_tower(source, stored, image_size)
    width = _measure_width(net, facts.id, facts.image_size, 3)
    return Backbone(net.train(), width, facts.image_size, facts)


def _build_from_timm(name: str, **arguments: Any) -> nn.Module:
    check_backbone_name(name)
    return build_timm_model(name, **arguments)


def _build_from_elsewhere(
    source: str | nn.Module, image_size: int, options: dict[str, Any]
) -> nn.Module:
    """An encoder by its dotted path, or the given module itself."""
    if isinstance(source, str):
        return build_custom_backbone(source, image_size, options)
    if not isinstance(source, nn.Module):
        is_class = isinstance(source, type)
        raise ModelError(
            "not a backbone",
            expected="a name, or an nn.Module",
            found=f"the class {source.__name__}" if is_class else type(source).__name__,
            hint=f"Write {source.__name__}(…)." if is_class else None,
        )
    if options:
        raise ModelError(
            "a backbone given as a module takes no options", found=", ".join(sorted(options))
        )
    return source


def _check_plain(
    name: str, *, stem: Stem, drop_path: float | None, pretrained: bool, regions: object
) -> None:
    """Refuse options that only timm models have."""
    settings = {
        f"stem={stem}": stem != "standard",
        f"drop_path={drop_path}": drop_path is not None,
        "weights=timm": pretrained,
        f"regions={str(regions).lower()}": bool(regions),
    }
    refused = [option for option, is_set in settings.items() if is_set]
    if refused:
        raise ModelError(
            f"backbone {name!r} is not a timm model and does not support {', '.join(refused)}",
            hint="Pass options of your class as backbone_options.",
        )


@torch.no_grad()
def _measure_channels(backbone: RegionalBackbone, image_size: int, in_chans: int) -> int:
    """Channels of the last feature map, by a forward pass that leaves batch statistics alone."""
    training = backbone.training
    probe = torch.zeros(1, in_chans, image_size, image_size)
    features = backbone.eval().net.forward_features(probe)
    backbone.train(training)
    return backbone.cells(features).shape[1]


@torch.no_grad()
def _measure_width(net: nn.Module, name: str, image_size: int, in_chans: int) -> int:
    """Width of the features, by a forward pass that leaves batch statistics unchanged."""
    training = net.training
    probe = torch.zeros(1, in_chans, image_size, image_size)
    try:
        features = net.eval()(probe)
    except Exception as error:  # networks raise any kind for a size that does not fit
        raise ModelError(
            f"backbone {name!r} does not work at {image_size} px",
            found=first_line(error),
        ) from error
    finally:
        net.train(training)

    # a network with a feature map instead would fail later, in the head
    if not isinstance(features, Tensor) or features.ndim != 2:
        is_tensor = isinstance(features, Tensor)
        raise ModelError(
            f"backbone {name!r} gives no pooled features",
            expected="one (batch, width) tensor",
            found=tuple(features.shape) if is_tensor else type(features).__name__,
        )
    return features.shape[1]
