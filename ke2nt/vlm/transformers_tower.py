"""Image towers of transformers (CLIP, SigLIP), built from their configuration alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.vlm.image_tower import ImageTower, cells_of_tokens

__all__ = ["TransformersTower", "build_transformers_tower", "resize_transformers", "tower_config"]

# all that decides a tower; other keys of a configuration are left out
_KEYS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_channels", "image_size", "patch_size", "hidden_act", "layer_norm_eps"),
    *("attention_dropout", "vision_use_head"),
)

# the text side is not part of a tower, but of the class that builds it
_NO_TEXT = {
    **{"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1},
    **{"vocab_size": 8, "max_position_embeddings": 8, "pad_token_id": 0},
    **{"bos_token_id": 1, "eos_token_id": 2},
}


class TransformersTower(ImageTower):
    """Image tower of CLIP or SigLIP.

    Args:
        model: The whole model, whose text side is left out.
    """

    vision_model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        # SigLIP's tower ends with its pooling head
        self.projection = getattr(model, "visual_projection", None) or nn.Identity()

        # CLIP has a class token before those of the cells
        self._prefix = int(hasattr(self.vision_model.embeddings, "class_embedding"))
        reduction = int(self.vision_model.embeddings.patch_size)
        self.feature_info = [
            {"module": f"vision_model.encoder.layers.{index}", "reduction": reduction}
            for index in range(len(self.vision_model.encoder.layers))
        ]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized images → (B, D)."""
        return self.projection(self.vision_model(pixel_values=images).pooler_output)

    def forward_intermediates(self, images: Tensor, indices: Sequence[int], **form: Any) -> Any:
        """Feature maps of some blocks; other forms than maps alone do not exist."""
        tokens = self.vision_model.embeddings(images)
        # under its misspelled name in the library; SigLIP has none
        if hasattr(self.vision_model, "pre_layrnorm"):
            tokens = self.vision_model.pre_layrnorm(tokens)

        maps = {}
        for index, layer in enumerate(self.vision_model.encoder.layers):
            tokens = layer(tokens, attention_mask=None)
            # a tuple up to transformers 4
            tokens = tokens[0] if isinstance(tokens, tuple) else tokens
            if index in indices:
                maps[index] = cells_of_tokens(tokens, self._prefix)
        return [maps[index] for index in indices]

    def prune_intermediate_layers(
        self, indices: Sequence[int], prune_norm: bool = False, prune_head: bool = True
    ) -> None:
        """Remove what follows the last block; the blocks themselves are all needed."""
        if prune_norm:
            self.vision_model.post_layernorm = nn.Identity()
        if prune_head:
            self.projection = nn.Identity()
            if hasattr(self.vision_model, "head"):
                self.vision_model.head = nn.Identity()


def tower_config(config: Any) -> dict[str, Any]:
    """The part of a model's configuration that decides its image tower, as plain JSON."""
    vision = config.vision_config.to_dict()
    return {
        "model_type": config.model_type,
        "projection_dim": getattr(config, "projection_dim", None),
        "vision_config": {key: vision[key] for key in _KEYS if vision.get(key) is not None},
    }


def build_transformers_tower(config: Mapping[str, Any]) -> TransformersTower:
    """Build a tower with random weights.

    Args:
        config: From `tower_config`.
    """
    import transformers

    # only these keys: others may name code or files
    vision = {key: value for key, value in config["vision_config"].items() if key in _KEYS}
    if config["model_type"] == "clip":
        dim = config["projection_dim"]
        clip = transformers.CLIPConfig(
            text_config=_NO_TEXT, vision_config=vision, projection_dim=dim
        )
        return TransformersTower(transformers.CLIPModel(clip))
    text = {**_NO_TEXT, "projection_size": vision["hidden_size"]}
    siglip = transformers.SiglipConfig(text_config=text, vision_config=vision)
    return TransformersTower(transformers.SiglipModel(siglip))


@torch.no_grad()
def resize_transformers(
    tower: TransformersTower, config: Mapping[str, Any], size: int
) -> tuple[TransformersTower, dict[str, Any]]:
    """Return a tower for another image size, with its configuration.

    Position embeddings are interpolated by transformers.

    Args:
        tower: As from `build_transformers_tower`, with its weights.
        config: Its configuration.
        size: Side of the square input in pixels.
    """
    changed = {**config, "vision_config": {**config["vision_config"], "image_size": size}}
    resized, state = build_transformers_tower(changed), tower.state_dict()

    # the library interpolates for given embeddings, of which only the shape counts
    old, new = tower.vision_model.embeddings, resized.vision_model.embeddings
    like = new.position_embedding.weight[None]
    state["vision_model.embeddings.position_embedding.weight"] = old.interpolate_pos_encoding(
        like, size, size
    )[0]
    resized.load_state_dict(state)
    return resized, changed
