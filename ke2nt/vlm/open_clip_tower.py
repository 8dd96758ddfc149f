"""Image towers of open_clip, built from their configuration alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.vlm.image_tower import ImageTower, check_patches

__all__ = ["OpenClipTower", "build_open_clip_tower", "check_open_clip_size", "resize_open_clip"]

# pixels per cell along a side after the stem and each stage of CLIP's ResNets
_RESNET_REDUCTIONS = {"stem": 4, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}


class OpenClipTower(ImageTower):
    """open_clip's image tower.

    Args:
        visual: The module `visual` of a model of open_clip.
    """

    visual: Any

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.feature_info = _feature_info(self.visual)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized images → (B, D)."""
        features = self.visual(images)
        # the tower of CoCa returns its tokens too
        return features[0] if isinstance(features, tuple) else features

    def forward_intermediates(self, images: Tensor, indices: Sequence[int], **form: Any) -> Any:
        """Feature maps of some blocks; other forms than maps alone do not exist."""
        maps = self.visual.forward_intermediates(
            images, indices=list(indices), intermediates_only=True, output_fmt="NCHW"
        )
        return maps["image_intermediates"]

    def prune_intermediate_layers(
        self, indices: Sequence[int], prune_norm: bool = False, prune_head: bool = True
    ) -> None:
        """Remove what follows the last block; the blocks themselves are all needed."""
        visual = self.visual
        if hasattr(visual, "trunk"):
            visual.trunk.prune_intermediate_layers(
                list(indices), prune_norm=prune_norm, prune_head=prune_head
            )
            visual.head = nn.Identity()
        elif hasattr(visual, "attnpool"):
            visual.attnpool = nn.Identity()
        else:
            visual.prune_intermediate_layers(
                list(indices), prune_norm=prune_norm, prune_head=prune_head
            )
            visual.attn_pool = None


def build_open_clip_tower(config: Mapping[str, Any]) -> OpenClipTower:
    """Build a tower with random weights.

    Args:
        config: "embed_dim", "vision_cfg" as open_clip's `model_cfg` has them, and "quick_gelu";
            "input_size" of a timm model that is not built for its default size.

    Raises:
        CheckpointError: The configuration names a model on a hub or in a folder.
    """
    from open_clip.model import _build_vision_tower

    # a stored configuration must neither download nor read anything
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    timm_name = str(vision.get("timm_model_name") or "")
    if ":" in timm_name or "/" in timm_name:
        raise CheckpointError(
            "the stored image tower names a model elsewhere",
            expected="the name of a timm model",
            found=timm_name,
        )
    visual = _build_vision_tower(config["embed_dim"], vision, bool(config.get("quick_gelu")))
    if config.get("input_size"):
        visual.set_input_size(config["input_size"])
    return OpenClipTower(visual)


def check_open_clip_size(config: Mapping[str, Any], size: int, *, where: str) -> None:
    """Check as far as a configuration says whether a tower can be given another image size.

    Raises:
        ModelError: It cannot.
    """
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return
    if isinstance(vision["layers"], list | tuple):
        raise ModelError(
            f"open_clip cannot change the image size of the ResNet {where}",
            expected=f"model.image_size={vision['image_size']}, its own",
            found=size,
            hint="model.image_size=null takes that of the tower.",
        )
    check_patches(size, int(vision["patch_size"]), where=where)


def resize_open_clip(
    tower: OpenClipTower, config: Mapping[str, Any], size: int
) -> tuple[OpenClipTower, dict[str, Any]]:
    """Return a tower for another image size, with its configuration.

    Position embeddings are interpolated by open_clip, those of a timm model by timm.

    Args:
        tower: May be changed.
        config: Its configuration, as for `build_open_clip_tower`.
        size: Side of the square input in pixels.
    """
    from open_clip.model import resize_pos_embed

    changed = {**config, "vision_cfg": {**config["vision_cfg"], "image_size": size}}
    if hasattr(tower.visual, "trunk"):
        tower.visual.set_input_size(size)
        return tower, {**changed, "input_size": size}

    state, resized = tower.state_dict(), build_open_clip_tower(changed)
    resize_pos_embed(state, resized)
    resized.load_state_dict(state)
    return resized, changed


def _feature_info(visual: Any) -> list[dict[str, Any]]:
    """Name and reduction of the blocks of a ViT, the stages of a ResNet, or those of timm."""
    # timm's models know theirs
    if hasattr(visual, "trunk"):
        return [
            {**info, "module": f"visual.trunk.{info['module']}"}
            for info in getattr(visual.trunk, "feature_info", ())
        ]

    if hasattr(visual, "attnpool"):
        return [
            # the stem is no module, but ends with its pooling
            {"module": f"visual.{'avgpool' if name == 'stem' else name}", "reduction": reduction}
            for name, reduction in _RESNET_REDUCTIONS.items()
        ]

    # all blocks of a ViT have the same cells
    if hasattr(visual, "transformer"):
        reduction = int(visual.patch_size[0])
        return [
            {"module": f"visual.transformer.resblocks.{index}", "reduction": reduction}
            for index in range(len(visual.transformer.resblocks))
        ]
    return []
