"""Image encoders: any timm model as images → pooled features. The only file that imports timm."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.regions import corner_means, feature_map

__all__ = ["ALIASES", "Backbone", "RegionalBackbone", "Stem", "create_backbone"]

Stem = Literal["standard", "no_pool", "small"]

# Name here → timm name and the options that make it the published encoder.
ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "swin_t": ("swin_tiny_patch4_window7_224", {"patch_size": 2}),
}
# Options of timm's factory that would read other files or change what the encoder returns.
_RESERVED = frozenset(
    {"cache_dir", "checkpoint_path", "features_only", "img_size", "num_classes"}
    | {"pretrained_cfg", "pretrained_cfg_overlay"}
)
_WINDOWS = (7, 8, 6, 5, 4)
_SWIN_STAGES = 4


class Backbone(nn.Module):
    """An image encoder without its classifier.

    Args:
        net: The timm model, pooled, without a head.
        width: Width of its features.

    Attributes:
        width: Width of the features.
        mean: Per-channel mean that the pretrained weights expect, or None where timm names none.
        std: Likewise the standard deviation.
    """

    net: Any

    def __init__(self, net: nn.Module, width: int) -> None:
        super().__init__()
        self.net = net
        self.width = width
        pretrained = getattr(net, "pretrained_cfg", None) or {}
        self.mean: tuple[float, float, float] | None = pretrained.get("mean")
        self.std: tuple[float, float, float] | None = pretrained.get("std")

    def layer_depths(self) -> dict[str, int]:
        """Parameter name → how many layers stand between it and the features, 1 for the last ones.

        Raises:
            ModelError: timm does not know the layers of this family.
        """
        from timm.models import group_parameters

        matcher = getattr(self.net, "group_matcher", None)
        if matcher is None:
            raise ModelError("the backbone's layers are not known, so optim.layer_decay cannot be")
        places = group_parameters(self.net, matcher(coarse=False), reverse=True)
        last = max(places.values())
        return {f"net.{name}": last - place + 1 for name, place in places.items()}

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalized images → (B, width) pooled features."""
        return self.net(images)


class RegionalBackbone(Backbone):
    """An encoder that gives the pooled features of the whole face and of its four corners.

    The corners overlap, 5 × 5 of a 7 × 7 feature map, as in DMSRL (IEEE TMM 25:1359, 2022).
    """

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalized images → (B, width): the whole, then the corners."""
        features = self.net.forward_features(images)
        cells = feature_map(
            features,
            channels_last=getattr(self.net, "output_fmt", "NCHW") == "NHWC",
            prefix=getattr(self.net, "num_prefix_tokens", 0),
        )
        return torch.cat([self.net.forward_head(features), corner_means(cells)], dim=1)


def create_backbone(
    name: str,
    *,
    image_size: int,
    in_chans: int = 3,
    stem: Stem = "standard",
    drop_path: float | None = None,
    pretrained: bool = False,
    regions: bool = False,
    **options: Any,
) -> Backbone:
    """Build an image encoder by its timm name or by an alias.

    The alias "swin_t" is Swin-T with patch 2 (dim 96, depths 2-2-6-2), window 7 at 112 px as in
    KE2NT; at other sizes the window that divides every stage's grid, where there is one.

    Args:
        name: A timm model name ("resnet18", "convnext_atto"), or one of `ALIASES`.
        image_size: Side of the square input in pixels; given to families that are built for one
            size (ViT, Swin), and checked by a forward pass for all.
        in_chans: Channels of the input.
        stem: "standard"; for the ResNet family also "no_pool" (without the first max-pool) and
            "small" (3×3 first convolution of stride 1, no max-pool), both for small images.
        drop_path: Rate of stochastic depth, None for the family's default.
        pretrained: Load timm's weights from the hub or its local cache.
        regions: Append the features of four overlapping corners of the last feature map.
        **options: Further arguments of the timm model, such as window_size.

    Returns:
        The encoder, in training mode.

    Raises:
        ModelError: The name is unknown, an option is not accepted, or the size does not fit.
        CheckpointError: Pretrained weights cannot be had.
    """
    if reserved := sorted(_RESERVED & options.keys()):
        raise ModelError(f"backbone options may not set {', '.join(reserved)}")
    alias, preset = ALIASES.get(name, (name, {}))
    if name == "swin_t":
        preset = {**preset, "window_size": _swin_window(image_size, options)}
    arguments = {**preset, **options, "in_chans": in_chans, "num_classes": 0}
    if drop_path is not None:
        arguments["drop_path_rate"] = drop_path
    net = _timm_model(alias, image_size, pretrained, arguments)
    _check_patches(net, name, image_size)
    _set_stem(net, name, stem, in_chans)
    if not regions:
        return Backbone(net, _measured_width(net, name, image_size, in_chans))
    backbone = RegionalBackbone(net, 0)
    backbone.width = _measured_width(backbone, name, image_size, in_chans)
    return backbone


def _swin_window(image_size: int, options: Mapping[str, Any]) -> int:
    patch = options.get("patch_size", 2)
    grids = [image_size // (patch * 2**stage) for stage in range(_SWIN_STAGES)]
    for window in _WINDOWS:
        if all(grid <= window or grid % window == 0 for grid in grids):
            return window
    return _WINDOWS[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _timm_model(
    name: str, image_size: int, pretrained: bool, arguments: Mapping[str, Any]
) -> nn.Module:
    import timm

    if not timm.is_model(name.split(".")[0]):
        known = [*timm.list_models(), *ALIASES]
        near = difflib.get_close_matches(name.split(".")[0], known, n=3, cutoff=0.5)
        raise ModelError(
            f"unknown backbone {name!r}",
            expected="the name of a timm model",
            hint=f"Did you mean {', '.join(near)}?" if near else None,
        )
    sized = {"img_size": image_size, **arguments}
    try:
        try:
            net = timm.create_model(name, **sized)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            del sized["img_size"]
            net = timm.create_model(name, **sized)
    except Exception as error:
        raise ModelError(
            f"backbone {name!r} cannot be built for {image_size} px with these options",
            expected="options that the timm model accepts",
            found=f"{dict(arguments)}: {_first_line(error)}",
        ) from error
    if not pretrained:
        return net
    try:
        return timm.create_model(name, pretrained=True, **sized)
    except Exception as error:
        raise CheckpointError(
            f"timm's weights of {name!r} cannot be had",
            expected="a network connection to the hub, or the weights in its local cache",
            found=_first_line(error),
            hint="Give a local file of weights, or none.",
        ) from error


def _check_patches(net: nn.Module, name: str, image_size: int) -> None:
    from timm.layers import PatchEmbed

    embed = getattr(net, "patch_embed", None)
    if not isinstance(embed, PatchEmbed) or embed.dynamic_img_pad:
        return
    patch = embed.patch_size[0]
    if image_size % patch:
        raise ModelError(
            f"backbone {name!r} would not see the border of its input",
            expected=f"an image size that is a multiple of its patch size, {patch}",
            found=image_size,
        )


def _set_stem(net: nn.Module, name: str, stem: Stem, in_chans: int) -> None:
    if stem == "standard":
        return
    from timm.models.resnet import ResNet

    if stem not in get_args(Stem) or not isinstance(net, ResNet):
        raise ModelError(
            f"backbone {name!r} has no stem {stem!r}",
            expected=f"{', '.join(get_args(Stem))} for the ResNet family, standard for others",
        )
    net.maxpool = nn.Identity()
    if stem == "small":
        first = nn.Conv2d(in_chans, net.bn1.num_features, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        net.conv1 = first


@torch.no_grad()
def _measured_width(net: nn.Module, name: str, image_size: int, in_chans: int) -> int:
    training = net.training
    try:
        features = net.eval()(torch.zeros(1, in_chans, image_size, image_size))
    except Exception as error:
        raise ModelError(
            f"backbone {name!r} does not work at {image_size} px", found=_first_line(error)
        ) from error
    finally:
        net.train(training)
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ModelError(
            f"backbone {name!r} gives no pooled features",
            expected="one (batch, width) tensor",
            found=tuple(features.shape)
            if isinstance(features, Tensor)
            else type(features).__name__,
        )
    return features.shape[1]
