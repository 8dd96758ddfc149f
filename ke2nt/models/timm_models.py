"""Image encoders by their timm name. The only file that imports timm."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from torch import nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.timm_names import ALIASES, timm_module
from ke2nt.runtime.deferred_compiler import deferred_compiler
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.hub_names import describe_hub_error
from ke2nt.runtime.partial_packages import partial_packages

__all__ = ["Stem", "build_timm_model", "timm_depths"]

Stem = Literal["standard", "no_pool", "small"]

# options of timm's factory that would read other files or change what the encoder returns
_RESERVED = frozenset(
    {"cache_dir", "checkpoint_path", "features_only", "img_size", "num_classes"}
    | {"pretrained_cfg", "pretrained_cfg_overlay"}
)
# packages around the networks → the module whose names the networks import from them
_PACKAGES = {
    "timm": "version",
    "timm.data": "constants",
    "timm.models": None,
    "torchvision": None,
    "torchvision.models": None,
    "torchvision.ops": None,
}
_WINDOWS = (7, 8, 6, 5, 4)
_SWIN_STAGES = 4


def build_timm_model(
    name: str,
    *,
    image_size: int,
    in_chans: int,
    stem: Stem,
    drop_path: float | None,
    pretrained: bool,
    options: Mapping[str, Any],
) -> nn.Module:
    """Build a timm model without its classifier.

    Args:
        name: A timm model name, or one of `ALIASES`.
        image_size: Side of the square input in pixels.
        in_chans: Channels of the input.
        stem: "standard"; for the ResNet family also "no_pool" and "small".
        drop_path: Rate of stochastic depth, None for the family's default.
        pretrained: Load timm's weights from the hub or its local cache.
        options: Further arguments of the timm model, such as window_size.

    Raises:
        ModelError: An option is not accepted, or the size does not fit.
        CheckpointError: The pretrained weights are not available.
    """
    reserved = sorted(_RESERVED & options.keys())
    if reserved:
        raise ModelError(f"backbone options may not set {', '.join(reserved)}")

    # an alias stands for a timm model with preset options, which the caller may replace
    timm_name, preset = ALIASES.get(name, (name, {}))
    if name == "swin_t":
        preset = {**preset, "window_size": _swin_window(image_size, options)}
    arguments = {**preset, **options, "in_chans": in_chans, "num_classes": 0}
    if drop_path is not None:
        arguments["drop_path_rate"] = drop_path

    net = _create(timm_name, image_size, pretrained, arguments)
    _check_patches(net, name, image_size)
    _set_stem(net, name, stem, in_chans)
    return net


def timm_depths(net: nn.Module) -> dict[str, int] | None:
    """Parameter name → layers between it and the features, 1 for the last ones.

    Returns:
        None if timm does not know the layers of this family.
    """
    matcher = getattr(net, "group_matcher", None)
    if matcher is None:
        return None

    from timm.models import group_parameters

    groups = group_parameters(net, matcher(coarse=False), reverse=True)
    last = max(groups.values())
    return {name: last - group + 1 for name, group in groups.items()}


def _find_factory(name: str) -> Callable[..., nn.Module]:
    """Import timm's `create_model`, without torch's compiler and, if possible, other networks."""
    with deferred_compiler():
        module = timm_module(name)
        if module is None or "timm" in sys.modules:
            import timm

            return timm.create_model

        # importing the network registers it, and the factory looks it up
        try:
            with partial_packages(_PACKAGES):
                importlib.import_module(f"timm.models.{module}")
                factory = importlib.import_module("timm.models._factory")
                return factory.create_model
        except Exception:  # another version of timm may be organized in another way
            import timm

            return timm.create_model


def _swin_window(image_size: int, options: Mapping[str, Any]) -> int:
    """The first of `_WINDOWS` that divides the grids of all stages; 7 if none does."""
    patch = options.get("patch_size", 2)
    # cells along a side, at each stage
    grids = [image_size // (patch * 2**stage) for stage in range(_SWIN_STAGES)]
    for window in _WINDOWS:
        if all(grid <= window or grid % window == 0 for grid in grids):
            return window
    return _WINDOWS[0]


def _create(
    name: str, image_size: int, pretrained: bool, arguments: Mapping[str, Any]
) -> nn.Module:
    """The model, with the image size if its family takes one."""
    create = _find_factory(name)
    sized = {"img_size": image_size, **arguments}
    try:
        try:
            net = create(name, **sized)
        except TypeError as error:
            # convolutional families take images of any size
            if "img_size" not in str(error):
                raise
            del sized["img_size"]
            net = create(name, **sized)
    except Exception as error:  # each family raises its own kinds for bad options
        raise ModelError(
            f"backbone {name!r} cannot be built for {image_size} px with these options",
            expected="options that the timm model accepts",
            found=f"{dict(arguments)}: {first_line(error)}",
        ) from error
    if not pretrained:
        return net

    # the model is built first without weights, so that wrong options are told apart
    try:
        return create(name, pretrained=True, **sized)
    except Exception as error:  # network, cache and format errors of several libraries
        raise CheckpointError(
            f"timm's weights of {name!r} are not available",
            expected="a network connection to the hub, or the weights in its local cache",
            found=describe_hub_error(error),
            hint="Use a local weights file, or no initial weights.",
        ) from error


def _check_patches(net: nn.Module, name: str, image_size: int) -> None:
    """Refuse an image size whose border the patches would not cover."""
    from timm.layers import PatchEmbed

    embed = getattr(net, "patch_embed", None)
    if not isinstance(embed, PatchEmbed) or embed.dynamic_img_pad:
        return
    patch = embed.patch_size[0]
    if image_size % patch:
        raise ModelError(
            f"image_size must be divisible by the patch size of backbone {name!r}",
            expected=f"a multiple of {patch}",
            found=image_size,
        )


def _set_stem(net: nn.Module, name: str, stem: Stem, in_chans: int) -> None:
    """Replace the first layers of a ResNet by those for small images."""
    if stem == "standard":
        return

    from timm.models.resnet import ResNet

    if stem not in get_args(Stem) or not isinstance(net, ResNet):
        raise ModelError(
            f"backbone {name!r} has no stem {stem!r}",
            expected=f"{', '.join(get_args(Stem))} for the ResNet family, standard for others",
        )

    # the pool would halve a map that is small already
    net.maxpool = nn.Identity()
    if stem == "small":
        conv = nn.Conv2d(in_chans, net.bn1.num_features, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        net.conv1 = conv
